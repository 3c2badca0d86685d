"""Finality by GRANDPA: rounds of prevotes and precommits over chains. `docs/adr/0001-grandpa.md` has rules and proof.

- `authorities`: who votes, with what weight, and what a quorum is;
- `messages`: what voters say to each other, and bounded decoding of it;
- `tree`: what a voter asks about blocks;
- `view`: one stage's votes: supermajorities, the ghost, what is still possible;
- `round`: two views: the estimate, and whether the round is completable;
- `effects`: what a voter asks of its node;
- `rounds` and `ballot`: what the rules permit, what this voter signs, and its memory of that;
- `voter`: the state machine that judges messages and drives the rounds;
- `justify` and `verify`: building justifications, and judging them and equivocations without a voter.
"""

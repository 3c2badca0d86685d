// Accounts whose keys everybody knows (development) or nobody has (the treasury). Named where they appear, because a
// name reads better than an address; a test derives each of them again.

export const TREASURY = "5FYFdGewxvHN5CwSutfvE7KyYSqV5GTuf6xjna9RJquhXUVP";

const NAMES = new Map([
  ["5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu", "//Alice"],
  ["5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E", "//Bob"],
  ["5DbKjhNLpqX3zqZdNBc9BGb4fHU1cRBaDhJUskrvkwfraDi6", "//Charlie"],
  ["5ECTwv6cZ5nJQPk6tWfaTrEk8YH2L7X1VT4EL5Tx2ikfFwb7", "//Dave"],
  ["5Ck2miBfCe1JQ4cY3NDsXyBaD6EcsgiVmEFTWwqNSs25XDEq", "//Eve"],
  ["5E2BmpVFzYGd386XRCZ76cDePMB3sfbZp5ZKGUsrG1m6gomN", "//Ferdie"],
  ["5CZVL3m741qXnuYDpzJkVLsW4dcj8TJk8AYmt4TLukFjWmu3", "//Submitter"],
  ["5DWgEQe1ioFsizmfJBN18cVw6fpGhJg94pQVUAd99ciHSDK1", "//Solver"],
  ["5CjKknLLBYMsNDEMjMHY4zM81AxHUHmkMzZwzoQyGrLkm2yP", "//Verifier"],
  ["5HWRs4H7eRXHmh7EMuqErLNi9roZHqk4BqShhopJt8xRzqHK", "//Whistleblower"],
  [TREASURY, "treasury"],
]);

export const nameOf = (account) => NAMES.get(account) ?? null;

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rpc.story import Story


@pytest.fixture(scope="package")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    story = Story(tmp_path_factory.mktemp("story"))
    yield story
    story.view.indexes.close()

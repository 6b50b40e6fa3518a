"""docs/real-peers.md tells what real senders get for awkward files."""

import pytest

from tests.docs.tables import replaced
from tests.peers import awkward

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]  # pydicom warns of the files

HINT = "if this is right: python -m tests.peers.awkward"


@pytest.fixture(scope="module")
def document() -> str:
    """The document, for the programs that are here."""
    text = awkward.DOCUMENT.read_text()
    if awkward.versions() not in text:
        pytest.skip(f"docs/real-peers.md is about other versions than {awkward.versions()}")
    return text


def test_files_of_packages(document: str) -> None:
    table = awkward.packages_table()
    assert replaced(document, "packages", awkward.markdown(table)) == document, HINT


@pytest.mark.shared_data
def test_files_of_collections(document: str) -> None:
    if not awkward.COLLECTIONS.is_dir():
        pytest.skip(f"THE DEVELOPMENT DATA ARE NOT HERE: {awkward.COLLECTIONS}")
    table = awkward.collections_table()
    assert replaced(document, "collections", awkward.markdown(table)) == document, HINT

"""The page on many pictures says what the code says."""

from fcn_core.batch.contact_sheet import FOLDER
from fcn_core.batch.derived import FORMATS
from fcn_core.batch.journal import MOST_BYTES, MOST_PICTURES
from fcn_core.batch.picture_files import KINDS
from fcn_core.batch.rows import COLUMNS
from fcn_core.cli import batch
from tests.docs.pages import PAGES, rows, section

PAGE = "docs/batch.md"


def test_the_columns_are_those_of_the_table():
    table = rows(section(PAGE, "What it writes"))
    assert [row for row in table if row[0].strip("`") in COLUMNS] == [
        [f"`{name}`", what] for name, what in COLUMNS.items()
    ]


def test_the_files_are_those_that_are_written():
    text = section(PAGE, "What it writes").partition("The table has")[0]
    for name in (*KINDS, FOLDER):
        assert f"`{name}/" in text
    for name in FORMATS:
        assert f"`{name}/`" in text or f"`--format {name}`" in text
    assert f"at most {MOST_PICTURES} pictures or about {MOST_BYTES // 2**20} MB" in text


def test_the_command_offers_what_there_is():
    """It lists them itself, because the help loads nothing else."""
    assert batch._FORMATS == FORMATS
    assert tuple(KINDS) == batch._KINDS


def test_the_reference_leads_to_the_page():
    assert "(batch.md)" in PAGES["docs/command-line.md"]

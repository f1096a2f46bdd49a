import pytest

from leaderboard.entries import load_entries
from leaderboard.site.made_entries import make_entry
from leaderboard.site.readme import BEGIN, END, markdown, update_readme
from leaderboard.site.scores import read_scores
from leaderboard.site.tables import make_tables
from media.errors import AvatarBenchError
from tests.leaderboard.made_boards import make_small_board, scores, submission


def tables_of(board):
    entries = load_entries(board).entries
    found = {loaded.entry.entry_id: read_scores(loaded) for loaded in entries}
    made = make_tables(entries, found, {loaded.method.id: loaded.method.id for loaded in entries})
    return [table for table, _ in made]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return tables_of(make_small_board(tmp_path_factory.mktemp("board")))


def test_the_table_stands_between_the_markers_and_nothing_else_changes(tables, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nformer text\n{END}\n\nThe end.\n")
    assert update_readme(readme, tables)
    text = readme.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n**mini-v1**")
    assert text.endswith(f"{END}\n\nThe end.\n")
    assert "former text" not in text
    assert not update_readme(readme, tables)  # up to date


def test_ranked_methods_come_first_and_others_say_why_they_are_not(tables):
    rows = [line for line in markdown(tables).splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0] for row in rows] == ["| 1–2", "| 1–2", "| 3", "| –", "| –", "| –"]
    text = "\n".join(rows)
    assert "Truth 1.0 (sees the truth)" in text
    assert "Patchy 1.0 (coverage 83%)" in text
    assert "Knows 1.0 (test data seen)" in text


def test_a_name_is_text_and_no_markdown(tmp_path):
    name = "[free](https://example.com) | **bold** ![x](y) & more"
    make_entry(tmp_path, "loud", scores(1.0), submission(name))
    (row,) = [line for line in markdown(tables_of(tmp_path)).splitlines() if "free" in line]
    assert r"\[free\]\(https\://example.com\) \| \*\*bold\*\* \!\[x\]\(y\)" in row


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_file_without_a_place_for_the_table_is_left_alone(tables, tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(AvatarBenchError, match="E841"):
        update_readme(readme, tables)
    assert readme.read_text() == text


def test_a_board_without_entries_says_so():
    assert markdown([]) == "No entries yet."

import json

import pytest

from benchmark.cli import main
from leaderboard.reported import load_reported
from leaderboard.schema import ENTRIES
from leaderboard.site.capabilities import read_capabilities
from leaderboard.site.figures import Dot, place_figure
from leaderboard.site.slugs import unique_slugs
from tests.leaderboard.made_boards import make_small_board


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return make_small_board(tmp_path_factory.mktemp("board"))


def test_build_says_what_it_made_and_writes_the_readme(board, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- leaderboard:begin -->\n<!-- leaderboard:end -->\n")
    arguments = [
        "leaderboard",
        "build",
        "--board",
        str(board),
        "--out",
        str(tmp_path / "site"),
        "--readme",
        str(readme),
    ]
    assert main(arguments) == 0
    assert "7 entries, 1 tables, 10 pages" in capsys.readouterr().out
    assert "Strong" in readme.read_text()
    assert (tmp_path / "site/index.html").is_file()


def test_a_broken_entry_is_told_and_ends_a_strict_build_with_3(tmp_path, capsys):
    make_small_board(tmp_path)
    (broken,) = (tmp_path / ENTRIES).glob("twin-*")
    (broken / "entry.json").write_text(json.dumps({}))
    arguments = ["leaderboard", "build", "--board", str(tmp_path), "--out", str(tmp_path / "site")]
    assert main(arguments) == 0
    assert "E803" in capsys.readouterr().err
    assert main([*arguments, "--strict"]) == 3


def test_a_folder_that_is_no_board_is_refused(tmp_path, capsys):
    assert main(["leaderboard", "build", "--board", str(tmp_path), "--out", str(tmp_path / "site")]) == 3
    assert "E801" in capsys.readouterr().err


def test_the_capabilities_are_those_of_the_papers_table_1():
    yes, no = True, False
    printed = {
        "ExAvatar": (no, yes, no, no, no),
        "One-shot, One-talk": (yes, yes, no, yes, no),
        "IDOL": (yes, yes, no, no, no),
        "TaoAvatar": (no, yes, no, yes, no),
        "AniGS": (yes, yes, no, no, no),
        "GUAVA": (yes, no, no, yes, no),
        "LHM": (yes, yes, no, no, no),
        "PERSONA": (yes, yes, no, no, no),
        "AudioAvatar": (yes, yes, yes, yes, yes),
    }
    table = read_capabilities()
    assert {m.name: tuple(c.id in m.has for c in table.columns) for m in table.methods} == printed


@pytest.mark.parametrize(("width", "height"), [(760.0, 430.0), (350.0, 340.0)])
def test_all_methods_of_the_figure_are_named_and_no_name_covers_anything(width, height):
    dots = [
        Dot(m.name, m.values["IQA"].value, m.values["SyncC"].value, m.values["HKC"].value)
        for m in load_reported()[0].methods
    ]
    figure = place_figure(dots, width, height)
    assert [placed.dot.name for placed in figure.dots if placed.anchor] == [dot.name for dot in dots]
    by_quality = sorted(figure.dots, key=lambda placed: placed.dot.x)
    assert [placed.x for placed in by_quality] == sorted(placed.x for placed in figure.dots)
    by_sync = sorted(figure.dots, key=lambda placed: placed.dot.y)
    assert [placed.y for placed in by_sync] == sorted((placed.y for placed in figure.dots), reverse=True)
    for placed in figure.dots:
        begin = {
            "start": placed.label_x,
            "end": placed.label_x - 6 * len(placed.dot.name),
            "middle": placed.label_x - 3 * len(placed.dot.name),
        }[placed.anchor]
        for other in figure.dots:
            inside_x = begin - other.radius < other.x < begin + 6 * len(placed.dot.name) + other.radius
            inside_y = placed.label_y - 9 - other.radius < other.y < placed.label_y + other.radius
            assert not (inside_x and inside_y), (placed.dot.name, other.dot.name)


def test_one_dot_and_equal_dots_have_a_figure():
    assert len(place_figure([Dot("a", 1.0, 2.0)], 300, 200).dots) == 1
    assert len(place_figure([Dot("a", 0.0, 0.0), Dot("b", 0.0, 0.0)], 300, 200).dots) == 2


def test_names_that_differ_in_case_or_signs_alone_have_pages_of_their_own():
    slugs = unique_slugs({"Ours": "Ours", "ours": "ours", "a.b": "a.b", "a-b": "a-b", "plain": "plain"})
    assert len({slug.lower() for slug in slugs.values()}) == 5
    assert slugs["plain"] == "plain"
    assert all(slug.replace("-", "").replace("_", "").isalnum() for slug in slugs.values())

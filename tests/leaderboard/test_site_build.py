import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import leaderboard.site.build as build_module
from leaderboard.entries import load_entries
from leaderboard.reported import load_reported
from leaderboard.schema import ENTRIES, ENTRY, SAMPLES
from leaderboard.site.breakdown import break_down
from leaderboard.site.build import build_site
from leaderboard.site.figures import measured_dots
from leaderboard.site.made_entries import make_entry
from leaderboard.site.scores import read_scores
from leaderboard.site.tables import columns_of
from media.errors import AvatarBenchError
from tests.leaderboard.made_boards import add_video, make_small_board, scores, submission

NASTY = '<script>document.title="taken"</script>\'"&{{7*7}}'


def build(board: Path, out: Path):
    return build_site(board, out, lambda line: None)


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Path:
    return make_small_board(tmp_path_factory.mktemp("board"))


@pytest.fixture(scope="module")
def site(board, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    built = build(board, out)
    assert (built.n_entries, len(built.tables), built.problems) == (7, 1, ())
    return out


@pytest.fixture(scope="module")
def table(site) -> dict:
    (path,) = (site / "data").glob("*.json")
    return json.loads(path.read_text())


def lines(table: dict) -> dict[str, dict]:
    return {line["title"]: line for line in table["methods"]}


class Links(HTMLParser):
    """Everything that a page would load, and everything that it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.ids: set[str] = set()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        self.tags.append(tag)
        self.ids |= {facts["id"]} if facts.get("id") else set()
        self.loaded += [facts[name] for name in ("src", "poster", "srcset", "data") if facts.get(name)]
        if facts.get("href"):
            (self.linked if tag == "a" else self.loaded).append(facts["href"])


def test_equal_methods_share_places_and_the_worse_one_has_its_own(table):
    found = lines(table)
    for metric in table["metrics"]:
        ranks = {name: line["metrics"][metric["id"]]["rank"] for name, line in found.items()}
        if metric["direction"] == "none":
            assert set(ranks.values()) == {None}
        else:
            assert (ranks["Strong"], ranks["Twin"], ranks["Weak"]) == ([1, 2], [1, 2], [3, 3])


def test_what_saw_the_truth_or_misses_clips_or_was_trained_on_them_is_shown_and_never_ranked(table):
    standing = {name: line["standing"] for name, line in lines(table).items()}
    assert standing == {"Strong": "ranked", "Twin": "ranked", "Weak": "ranked", "Truth": "privileged",
                        "Patchy": "coverage", "Knows": "test data seen"}  # fmt: skip
    for line in table["methods"]:
        ranks = [cell["rank"] for cell in line["metrics"].values()]
        assert any(ranks) == (line["standing"] == "ranked")


def test_the_values_and_intervals_are_those_of_the_entries(board, table):
    for loaded in load_entries(board).entries:
        line = next((line for line in table["methods"] if line["entry"] == loaded.entry.entry_id), None)
        if loaded.method.version == "0.9":
            assert line is None  # superseded
            continue
        for summary in loaded.method.metrics:
            cell = line["metrics"][summary.metric_id]
            assert cell["value"] == summary.value
            assert cell["interval"] == [summary.interval.low, summary.interval.high]


def test_the_csv_says_the_same_and_no_spreadsheet_takes_a_name_for_a_formula(site, table):
    (path,) = [path for path in (site / "data").glob("*.csv") if path.name != "reported.csv"]
    rows = list(csv.DictReader(path.open(newline="")))
    assert [row["title"] for row in rows] == [line["title"] for line in table["methods"]]
    for row, line in zip(rows, table["methods"], strict=True):
        for metric, cell in line["metrics"].items():
            assert float(row[metric]) == cell["value"]
            best, worst = cell["rank"] or ("", "")
            assert (row[f"{metric}_best_rank"], row[f"{metric}_worst_rank"]) == (str(best), str(worst))
    assert {row["submitter"] for row in rows} >= {"'=Lab Two"}


def test_no_page_loads_anything_from_elsewhere_and_no_link_within_is_broken(site):
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html")}
    assert len(pages) == 10  # table, paper, history, rules and six methods
    for path, links in pages.items():
        for target in links.loaded + [link for link in links.linked if not link.startswith("https://")]:
            assert not re.match(r"^([a-z]+:|//|/)", target), f"{path.name} loads {target}"
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            assert file.is_file(), f"{path.name} links to {target}"
            assert not anchor or anchor in pages[file].ids, f"{path.name} links to {target}"
    assert not re.search(r"url\(|@import|https?:", (site / "static/site.css").read_text())
    assert not re.search(r"fetch\(|XMLHttp|https?:", (site / "static/site.js").read_text())


def test_reported_numbers_stand_on_their_own_page_only(site):
    names = {method.name for table in load_reported() for method in table.methods if method.group != "ours"}
    for path in site.rglob("*.html"):
        shown = {name for name in names if name in path.read_text()}
        assert shown == (names if path.name == "paper.html" else set())
    printed = [v.printed for t in load_reported() for m in t.methods for v in m.values.values()]
    assert [row["value"] for row in csv.DictReader((site / "data/reported.csv").open())] == printed


def test_the_history_keeps_what_was_superseded(site):
    text = (site / "history.html").read_text()
    assert text.count("superseded") == 1
    assert text.index("2026-03-01") < text.index("2025-12-24")
    assert "0.9" in (site / "methods/weak.html").read_text()


def test_attributes_are_broken_down_by_person(site, board):
    (loaded,) = [e for e in load_entries(board).entries if e.entry.entry_id.startswith("strong-")]
    found = break_down(loaded.entry, columns_of(loaded.method.metrics), read_scores(loaded))
    assert [breakdown.attribute for breakdown in found] == ["age", "hair"]  # language is the same for all
    assert [group.value for group in found[0].groups] == ["20 to 32", "36 to 48", "52 to 64"]
    rows = pd.read_parquet(loaded.folder / SAMPLES)
    hair = {f"person{i:02d}": ("short", "long", "none")[i % 3] for i in range(12)}
    for place, summary in enumerate(s for s in loaded.method.metrics if s.kind == "sample"):
        means = rows[rows.metric_id == summary.metric_id].groupby("identity_id").value.mean()
        for group in found[1].groups:
            values = means[means.index.map(hair) == group.value]
            assert (group.n_people, group.n_clips) == (4, 8)
            assert group.cells[place].value == pytest.approx(values.mean(), rel=1e-12)
            half = stats.t.ppf(0.975, 3) * values.sem()
            assert group.cells[place].interval[1] - values.mean() == pytest.approx(half, rel=1e-9)
    assert "52 to 64" in (site / "methods/strong.html").read_text()


def test_an_attribute_in_which_the_clips_of_a_person_differ_leaves_that_person_out(board):
    (loaded,) = [e for e in load_entries(board).entries if e.entry.entry_id.startswith("strong-")]
    facts = dict(loaded.entry.attributes)
    facts["person00-0"] = facts["person00-0"] | {"hair": "wig"}
    entry = loaded.entry.model_copy(update={"attributes": facts})
    found = break_down(entry, columns_of(loaded.method.metrics), read_scores(loaded))
    assert {group.value: group.n_people for group in found[1].groups} == {"long": 4, "none": 4, "short": 3}


def test_a_script_in_a_name_is_refused_as_an_entry(tmp_path):
    make_small_board(tmp_path)
    (folder,) = (tmp_path / ENTRIES).glob("weak-1.0-*")
    data = json.loads((folder / ENTRY).read_text())
    data["submission"]["display_name"] = NASTY
    (folder / ENTRY).write_text(json.dumps(data))
    built = build(tmp_path, tmp_path / "site")
    assert [problem.code for problem in built.problems] == ["E803"]
    assert not any("document.title" in path.read_text() for path in (tmp_path / "site").rglob("*.html"))


@pytest.fixture
def nasty_site(board, tmp_path, monkeypatch) -> Path:
    """A site of entries that came past the schema with markup in every text that a submitter writes."""
    loaded = load_entries(board)
    for entry in loaded.entries:
        told = entry.entry.submission.model_copy(
            update={"display_name": NASTY, "submitter": NASTY, "note": NASTY}
        )
        method = entry.method.model_copy(update={"title": NASTY, "licence": NASTY})
        result = entry.entry.result.model_copy(update={"methods": (method,), "notes": (NASTY,)})
        facts = {sample: {NASTY: f"{NASTY}{i % 2}"} for i, sample in enumerate(entry.entry.plan.sample_ids)}
        changed = entry.entry.model_copy(update={"submission": told, "result": result, "attributes": facts})
        object.__setattr__(entry, "entry", changed)
    monkeypatch.setattr(build_module, "load_entries", lambda folder: loaded)
    build(board, tmp_path / "site")
    return tmp_path / "site"


def test_a_script_in_a_name_that_came_past_the_schema_is_still_text(nasty_site, site):
    for path in nasty_site.rglob("*.html"):
        text = path.read_text()
        assert NASTY not in text
        clean = Links((site / path.relative_to(nasty_site)).read_text())
        assert Links(text).tags.count("script") == clean.tags.count("script") <= 2
    assert "&lt;script&gt;" in (nasty_site / "index.html").read_text()


def test_a_script_in_a_name_does_not_run(nasty_site):
    from tests.leaderboard.browsers import chromium

    with chromium() as browser:
        page = browser.new_page()
        for path in nasty_site.rglob("*.html"):
            page.goto(path.as_uri())
            assert page.title() != "taken"
        page.goto((nasty_site / "index.html").as_uri())
        page.click("tbody tr a.more")
        assert page.inner_text("dialog h3").startswith("<script>")
        assert page.title() != "taken"


def test_an_entry_whose_rows_were_changed_is_left_out_and_named(tmp_path):
    make_small_board(tmp_path)
    (folder,) = (tmp_path / ENTRIES).glob("twin-*")
    with (folder / SAMPLES).open("ab") as stream:
        stream.write(b"0")
    built = build(tmp_path, tmp_path / "site")
    assert [problem.code for problem in built.problems] == ["E804"]
    assert "Twin" not in (tmp_path / "site/index.html").read_text()


def test_only_videos_that_were_scored_are_shown_beside_the_truth(tmp_path):
    make_small_board(tmp_path)
    (truth,) = (tmp_path / ENTRIES).glob("ground_truth-*")
    (strong,) = (tmp_path / ENTRIES).glob("strong-*")
    add_video(truth, "person00-0", 200)
    add_video(strong, "person00-0", 90)
    other = add_video(strong, "person01-0", 90)
    other.write_bytes(other.read_bytes() + b"0")
    add_video(strong, "person03-0", 90, content=b"no video at all")
    linked = strong / "videos/person02-0.mp4"
    linked.symlink_to(other)
    built = build(tmp_path, tmp_path / "site")
    assert [problem.code for problem in built.problems] == ["E811", "E801", "E206"]
    page = Links((tmp_path / "site/methods/strong.html").read_text())
    videos = [link for link in page.loaded if link.endswith(".mp4")]
    assert [Path(video).parts[-2].split("-")[0] for video in videos] == ["ground_truth", "strong"]
    assert all((tmp_path / "site/methods" / video).is_file() for video in page.loaded)


def test_an_entry_with_other_metrics_than_its_protocol_is_left_out(tmp_path):
    make_small_board(tmp_path)
    (folder,) = (tmp_path / ENTRIES).glob("twin-*")
    data = json.loads((folder / ENTRY).read_text())
    data["result"]["methods"][0]["metrics"].pop()
    (folder / ENTRY).write_text(json.dumps(data))
    built = build(tmp_path, tmp_path / "site")
    assert [problem.code for problem in built.problems] == ["E807"]
    assert len(built.tables) == 1


def test_entries_of_different_data_or_protocols_have_tables_of_their_own(tmp_path):
    for name in ("a", "b"):
        make_entry(tmp_path, name, scores(1.0), submission(name))
    make_entry(tmp_path, "a", scores(1.0), submission("a"), protocol_id="paper-v1")
    make_entry(tmp_path, "c", scores(1.0)[:8], submission("c"))
    built = build(tmp_path, tmp_path / "site")
    assert [len(table.lines) for table in built.tables] == [2, 1, 1]
    assert len({table.slug for table in built.tables}) == 3
    assert (tmp_path / "site/methods/a.html").read_text().count("<article") == 2


def test_sync_is_drawn_against_quality_where_both_were_measured(tmp_path):
    for name, merit in (("low", -1.0), ("high", 1.0)):
        make_entry(tmp_path, name, scores(merit), submission(name), protocol_id="paper-v1")
    built = build(tmp_path, tmp_path / "site")
    _, y, _, dots = measured_dots(built.tables[0])
    assert [dot.name for dot in dots] == ["high", "low"]
    assert dots[0].y > dots[1].y
    assert (y.id, dots[0].y_bounds) == ("sync_c", built.tables[0].ranked[0].cells[2].interval)
    assert (tmp_path / "site/index.html").read_text().count('class="plot') == 2


def test_nobody_is_ranked_above_another_when_people_are_few(tmp_path):
    for name, merit in (("good", 2.0), ("bad", -2.0)):
        make_entry(tmp_path, name, np.full((5, 2), merit), submission(name))
    built = build(tmp_path, tmp_path / "site")
    assert {cell.rank for line in built.tables[0].ranked for cell in line.cells} == {(1, 2), None}
    assert "Nobody leads here" in (tmp_path / "site/index.html").read_text()


def test_a_folder_that_is_no_site_is_left_alone(board, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(AvatarBenchError, match="E842"):
        build(board, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_build_that_fails_leaves_the_former_site(board, tmp_path, monkeypatch):
    build(board, tmp_path / "site")
    before = (tmp_path / "site/index.html").read_text()
    monkeypatch.setattr(build_module, "_history", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(board, tmp_path / "site")
    assert (tmp_path / "site/index.html").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_the_same_entries_give_the_same_pages(board, site, tmp_path):
    build(board, tmp_path / "site")
    for path in site.rglob("*"):
        if path.is_file():
            assert (tmp_path / "site" / path.relative_to(site)).read_bytes() == path.read_bytes()


def test_an_empty_board_has_pages_too(tmp_path):
    (tmp_path / ENTRIES).mkdir()
    built = build(tmp_path, tmp_path / "site")
    assert built.tables == ()
    assert "No entries yet" in (tmp_path / "site/index.html").read_text()

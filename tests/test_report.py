"""The page of a study: its contents, that no text in it is markup, and that it works."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter
from studies import SENTENCES, study, without_lengths

from asrbench.base.files import write_json
from asrbench.base.formatting import points
from asrbench.base.records import to_json
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.report import cells
from asrbench.report.answer import sentences
from asrbench.report.page import (
    NAME,
    breakdown,
    clips,
    inspect,
    other_tests,
    page,
    utterances,
    views,
    write,
)
from asrbench.report.study import CorpusId, SpecText, Study
from asrbench.stats.bootstrap import Interval
from asrbench.stats.verdicts import Verdict

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def whole():
    return study()


def with_utterances(whole, found):
    return replace(whole, findings=replace(whole.findings, utterances=tuple(found)))


def noise(place):
    return np.random.default_rng(place).integers(-3000, 3000, 4000 + place, dtype=np.int16)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, whole):
    """A corpus with the audio of the study, and the study as one that was made with it."""
    folder = tmp_path_factory.mktemp("corpus") / "invented"
    with CorpusWriter.create(
        folder, name="invented", recipe="test", source="none", text_profile="verbatim"
    ) as writer:
        for place in range(whole.utterances):
            text = SENTENCES[place % len(SENTENCES)]
            writer.add("test", Utterance(f"utterance-{place:04d}", noise(place), text))
    fingerprint = json.loads((folder / "corpus.json").read_text())["fingerprint"]
    return folder, replace(whole, corpus=CorpusId("invented", fingerprint))


class Elements(HTMLParser):
    """Every element with its attributes, and all text outside script and style."""

    def __init__(self, text):
        super().__init__()
        self.found, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def elements(whole):
    return Elements(page(whole))


# Contents


def test_write_makes_one_file(whole, tmp_path):
    path = write([whole], tmp_path / "study")
    assert path == tmp_path / "study" / NAME
    assert [each.name for each in path.parent.iterdir()] == [NAME]
    assert path.read_text(encoding="utf-8") == page(whole)


def test_verdicts_are_sentences_with_sign_and_reason(whole, elements):
    said = [(v.sign, f"{v.system}{v.verb} {v.word} {v.other}") for v in views.verdicts(whole)]
    assert said == [
        ("✓", "ds2_selfattn is better than ds2"),
        ("≈", "ds2_posattn: no evidence of a difference to ds2"),
        ("✗", "ds2_twattn is worse than ds2"),
        ("≠", "ds2_crossattn joint is not comparable with ds2"),
        ("∅", "ds2_selfattn_deck is not trained "),
    ]
    for system in whole.systems:
        assert system.reason[1:] in elements.text


def test_the_page_begins_with_the_answer_the_differences_and_the_table(whole, elements):
    answer, *limits = sentences(whole)
    (heading,) = re.findall("<h1>(.*?)</h1>", page(whole))
    assert heading == answer
    order = [answer, *limits, "Difference to ds2, test", "Click a heading", "Specs"]
    places = [elements.text.index(each) for each in order]
    assert places == sorted(places)
    start = elements.text.index("Records") + 1
    assert elements.text.index("Click a heading") < elements.text.index("Verdicts", start)


def test_what_is_not_judged_is_in_no_test(whole):
    two = replace(whole.systems[1].judgement, verdict=Verdict.TWO_SEEDS)
    systems = (whole.systems[0], replace(whole.systems[1], judgement=two), *whole.systems[2:])
    found = replace(whole, systems=systems)
    tests, *_ = views.further(found)
    assert [row[0].text for row in tests.rows] == ["ds2_posattn", "ds2_twattn"]
    duration, *_ = breakdown.tables(found)
    tested = [row[0].text for row in duration.rows if row[-2].value is not None]
    assert tested == ["ds2_posattn", "ds2_twattn"]
    assert "ds2_selfattn" not in other_tests.disagreements(found)


def test_a_test_that_disagrees_with_the_verdict_is_explained(whole):
    """The invented tests all find a difference, so they disagree where none is shown."""
    assert other_tests.disagreements(whole) == {
        "ds2_posattn": "The bootstrap before correction (p < 0.001), the permutation test "
        "(p = 0.001), McNemar (p = 0.020), MAPSSWE by word (p < 0.001) and MAPSSWE by character "
        "(p < 0.001) find a difference at 5 %, but without a correction for 3 variants and for "
        "these trained models only."
    }
    better = whole.systems[1]
    missed = replace(better.tests, mcnemar=replace(better.tests.mcnemar, p=0.2))
    systems = (whole.systems[0], replace(better, tests=missed), *whole.systems[2:])
    found = replace(whole, systems=systems)
    assert other_tests.disagreements(found)["ds2_selfattn"] == (
        "McNemar (p = 0.200) finds no difference at 5 %: McNemar counts only which utterances are "
        "entirely right."
    )
    said = Elements(page(found)).text
    for sentence in other_tests.disagreements(found).values():
        assert said.count(sentence) == 2


def test_results_show_every_seed(whole):
    table = views.results(whole)
    row = table.rows[1]
    system = whole.systems[1]
    assert len(row) == len(table.heads)
    assert [cell.value for cell in row[8:11]] == [run.cer for run in system.runs]
    assert [cell.text for cell in row[8:11]] == [f"{100 * run.cer:.2f}" for run in system.runs]
    assert row[1].value == system.rate
    assert row[6] == cells.TableCell("better", "better", "better", "✓")
    assert views.typeset(row[6]) == "✓ better"
    assert {cell.style for cell in table.rows[-1][8:11]} == {"failed"}


def test_a_seed_that_a_variant_lacks_is_a_gap(whole):
    first, second, *others = whole.systems
    systems = (first, replace(second, runs=second.runs[:1]), *others)
    row = views.results(replace(whole, systems=systems)).rows[1]
    assert [views.typeset(cell) for cell in row[9:11]] == [views.DASH] * 2
    assert [cell.value for cell in row[9:11]] == [None] * 2


def test_tables_are_as_wide_as_their_heads(whole):
    tables = [views.results(whole), *views.further(whole), *breakdown.tables(whole)]
    assert [table.name for table in tables] == [
        *("results", "tests", "costs", "runs", "by-duration", "by-reference-length"),
        *("seen-texts", "kinds", "speakers"),
    ]
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.heads)}


def test_seen_and_unseen_texts_stand_side_by_side(whole):
    (table,) = (table for table in breakdown.tables(whole) if table.name == "seen-texts")
    seen, unseen = whole.findings.seen_texts.seen, whole.findings.seen_texts.unseen
    assert f"{seen.utterances} utterances whose texts also occur in train (seen" in table.caption
    assert f"the other {unseen.utterances} (unseen, N = {unseen.n:,})" in table.caption
    baseline, row = table.rows[0], table.rows[1]
    assert (row[1].value, row[5].value) == (
        seen.systems["ds2_selfattn"].cer,
        unseen.systems["ds2_selfattn"].cer,
    )
    assert (row[3].value, row[7].value) == (
        seen.differences["ds2_selfattn"].delta,
        unseen.differences["ds2_selfattn"].delta,
    )
    assert [typeset for cell in baseline[3:5] if (typeset := views.typeset(cell))] == ["–", "–"]


def test_rates_by_kind_are_over_the_characters_of_all_runs(whole):
    (kinds,) = (table for table in breakdown.tables(whole) if table.name == "kinds")
    counts = whole.findings.kinds["ds2"]
    assert counts.n == 3 * whole.n
    rates = [cell.value for cell in kinds.rows[0][1:4]]
    edits = counts.substitutions + counts.deletions + counts.insertions
    assert sum(rates) == pytest.approx(edits / counts.n)


def test_specs_that_are_equal_stand_together(whole):
    specs = (SpecText("b", "x: 1"), SpecText("a", "x: 2"), SpecText("c", "x: 1"))
    assert views.records(replace(whole, specs=specs)).specs == (
        views.SharedText(("a",), "x: 2"),
        views.SharedText(("b", "c"), "x: 1"),
    )


def test_environments_of_decoding_are_those_of_the_runs_that_recorded_them(whole):
    (record,) = views.records(whole).decoded
    assert record.text == "commit: e499a5f"
    assert "results/ablation/ds2/seed0-4fbc2f11" in record.runs
    assert "results/ablation/ds2_crossattn/seed0-4fbc2f11 joint" in record.runs
    assert not any("seed1" in run for run in record.runs)
    title = "Environments of decoding"
    assert title in page(whole)
    runs = [replace(run, decoded_by=None) for run in whole.systems[0].runs]
    systems = (replace(whole.systems[0], runs=tuple(runs)),)
    assert title not in page(replace(whole, systems=systems))


def test_records_are_whole(whole, elements):
    for spec in whole.specs:
        assert spec.run in elements.text
    for command in whole.commands:
        assert command in elements.text


def test_a_study_of_one_variant_and_nothing_known_is_a_page(whole):
    baseline = replace(whole.systems[0], curves=(), gradient_norms=())
    findings = replace(without_lengths(whole.findings), kinds={}, utterances=(), speakers=None)
    for found in (findings, None):
        alone = replace(whole, systems=(baseline,), findings=found, speakers=None)
        assert "The study has one variant" in Elements(page(alone)).text


@pytest.mark.parametrize(
    ("cell", "text", "value"),
    [
        (cells.number_cell(None, ".2f"), "–", None),
        (cells.number_cell(-4.2, "+.2f"), "−4.20", -4.2),
        (cells.percent_cell(1 / 8), "12.50", 1 / 8),
        (cells.points_cell(-1e-9), "+0.00", -1e-9),
        (cells.points_interval_cell(Interval(-0.25, 0.5)), "−25.00 to +50.00", -0.25),
        (cells.percent_interval_cell(Interval(0.25, 0.5)), "25.00 to 50.00", 0.25),
        (cells.p_cell(0.0004), "<0.001", 0.0004),
        (cells.parameters_cell(3_340_000), "3.34M", 3_340_000),
        (cells.parameters_cell(512_000), "512k", 512_000),
        (cells.text_cell("ds2-wide"), "ds2-wide", "ds2-wide"),
        (cells.verdict_cell(Verdict.NO_EVIDENCE), "≈ no evidence", "no evidence of a difference"),
    ],
)
def test_cells(cell, text, value):
    assert (views.typeset(cell), cell.value) == (text, value)


# No text is markup, nothing is fetched


def test_texts_of_a_corpus_are_no_markup(elements):
    assert len(elements.of("script")) == 1
    assert not elements.of("b") or all("window" not in str(b) for b in elements.of("b"))
    assert '<script>window.broken = true</script> & "quoted" <b>bold</b>' in elements.text


def test_every_string_of_the_study_is_escaped(whole):
    """In every field, also within an attribute."""
    bad = "'\"><img src=x onerror=alert(1)><!--"

    def spoil(value, key=""):
        if isinstance(value, dict):
            return {k: spoil(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [spoil(each, key) for each in value]
        kept = ("verdict", "unit", "kind", "label", "variant", "run", "hypothesis", "baseline")
        kept += ("scope", "exchanged")
        return value + bad if isinstance(value, str) and key not in kept else value

    spoilt = spoil(json.loads(to_json(whole)))
    spoilt["systems"][0]["label"] += bad
    for entry in spoilt["findings"]["utterances"]:
        entry["systems"] = {
            name + (bad if name == "ds2" else ""): runs for name, runs in entry["systems"].items()
        }
        entry["errors"][f"ds2{bad}"] = entry["errors"].pop("ds2")
    for lengths in spoilt["findings"]["lengths"].values():
        for each in lengths["bins"]:
            each["systems"][f"ds2{bad}"] = each["systems"].pop("ds2")
    found = Elements(page(TypeAdapter(Study).validate_python(spoilt)))
    assert not found.of("img")
    assert not any("onerror" in attributes for _, attributes in found.found)
    assert found.text.count(bad) > 100


def test_nothing_is_fetched(elements, whole):
    for tag, attributes in elements.found:
        for key in ("src", "href", "xlink:href", "action", "data"):
            address = attributes.get(key)
            assert address is None or address.startswith(("#", "data:")), (tag, address)
    assert "url(http" not in page(whole)
    assert "@import" not in page(whole)


def test_ids_are_unique_and_links_lead_to_them(elements):
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for attributes in elements.of("a")}
    assert links <= set(ids)
    used = {a["xlink:href"][1:] for a in elements.of("use")}
    assert used
    assert used <= set(ids)


def test_figures_follow_the_colours_of_the_page(whole):
    text = page(whole)
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--c1)" in drawings
    assert set(re.findall(r"var\(--(\w+)\)", drawings)) <= set(re.findall(r"--(\w+):", text))
    assert "<!--" not in drawings
    # Any other colour would not change in dark mode.
    assert re.findall("#[0-9a-fA-F]{6}", drawings) == []


# Utterances


def test_those_that_differ_most_come_first(whole):
    found = utterances.utterance_list(whole)
    trained = {system.label for system in whole.systems if system.trained}
    largest = {
        each.id: max(abs(d) for label, d in each.differences.items() if label in trained)
        for each in whole.findings.utterances
    }
    order = [largest[row.id] for row in found.rows]
    assert order == sorted(largest.values(), reverse=True)
    assert found.systems == tuple(system.label for system in whole.systems)


def test_equal_hypotheses_of_several_seeds_stand_once(whole):
    found = whole.findings.utterances[0]
    first, second, _ = found.systems["ds2"]
    found = replace(found, systems=found.systems | {"ds2": (first, second, first)})
    (row,) = utterances.utterance_list(with_utterances(whole, [found])).rows
    assert [each.seeds for each in row.systems[0].hypotheses] == ["seeds 0, 2", "seed 1"]


def test_segments_spell_both_texts(whole):
    known = {each.id: each for each in whole.findings.utterances}
    for row in utterances.utterance_list(whole).rows:
        for system in row.systems:
            for each in system.hypotheses:
                reference = "".join(segment.reference for segment in each.segments)
                hypothesis = "".join(segment.hypothesis for segment in each.segments)
                assert reference.replace("␣", " ") == known[row.id].reference
                assert hypothesis.replace("␣", " ") in {
                    run.hypothesis for run in known[row.id].systems[system.label]
                }


def test_a_page_has_its_bounds_and_says_what_it_leaves_out(whole, monkeypatch):
    assert utterances.utterance_list(whole).summary.startswith(
        f"{len(whole.findings.utterances)} of 40 "
    )
    monkeypatch.setattr(utterances, "ROWS", 5)
    found = utterances.utterance_list(whole)
    assert len(found.rows) == 5
    assert found.summary.startswith("5 of 40 utterances: those with the largest differences to ds2")
    monkeypatch.setattr(utterances, "SEGMENTS", 1)
    assert len(utterances.utterance_list(whole).rows) == 1
    all_of_them = replace(whole, utterances=len(whole.findings.utterances))
    monkeypatch.undo()
    assert utterances.utterance_list(all_of_them).summary.startswith("All ")


@pytest.mark.slow
def test_a_hundred_runs_are_a_page_of_some_megabytes():
    """With more utterances than a page bears, so that still more would make it no larger."""
    many = study(variants=33)
    few = many.findings.utterances
    shown = [replace(few[place % len(few)], id=str(place)) for place in range(2 * utterances.ROWS)]
    assert len(page(with_utterances(many, shown)).encode()) < 12_000_000


# Audio


def test_clips_are_the_samples_of_the_corpus(prepared):
    """As many of them, and as near as Opus keeps them."""
    folder, found_study = prepared
    ids = ["utterance-0003", "unknown", "utterance-0001"]
    found = clips.clips(folder, found_study.corpus.fingerprint, "test", ids)
    assert list(found.sources) == ["utterance-0003", "utterance-0001"]
    for id, source in found.sources.items():
        head, _, data = source.partition(",")
        assert head == "data:audio/ogg;base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == SAMPLE_RATE_HZ
        original = noise(int(id[-4:])) / 2**15
        assert len(samples) == len(original)
        # Noise is the hardest to keep.
        assert np.corrcoef(samples, original)[0, 1] > 0.8
    assert found == clips.clips(folder, found_study.corpus.fingerprint, "test", ids)


def test_a_stream_without_serial_is_the_same_audio():
    """libsndfile checks neither; the browser test and this one read the pages again."""
    file = io.BytesIO()
    soundfile.write(file, noise(1), SAMPLE_RATE_HZ, format="OGG", subtype="OPUS")
    stream = file.getvalue()
    found = clips.without_serial(stream)
    assert len(found) == len(stream)
    heard, expected = (soundfile.read(io.BytesIO(each))[0] for each in (found, stream))
    assert np.array_equal(heard, expected)
    starts = [match.start() for match in re.finditer(b"OggS", found)]
    assert {found[start + 14 : start + 18] for start in starts} == {bytes(4)}
    # The checksums of libogg itself come out again under its serial number.
    serial = stream[14:18]
    for start, end in zip(starts, [*starts[1:], len(found)], strict=True):
        page = bytearray(stream[start:end])
        written = int.from_bytes(page[22:26], "little")
        page[14:18], page[22:26] = serial, bytes(4)
        assert clips._checksum(page) == written


def test_clips_have_their_bounds(prepared, monkeypatch):
    folder, found_study = prepared
    ids = [f"utterance-{place:04d}" for place in range(40)]
    arguments = folder, found_study.corpus.fingerprint, "test", ids
    monkeypatch.setattr(clips, "CLIPS", 15)
    found = clips.clips(*arguments)
    assert list(found.sources) == ids[:15]
    assert found.summary == (
        "15 of them have audio (Opus); the other 25 have none, to limit the size of the page."
    )
    monkeypatch.setattr(clips, "BYTES", 10_000)
    few = clips.clips(*arguments).sources
    assert 0 < len(few) < 15
    assert sum(map(len, few.values())) <= 10_000


def test_no_audio_without_its_corpus(prepared, tmp_path):
    folder, found_study = prepared
    fingerprint = found_study.corpus.fingerprint
    for found, reason in (
        (clips.clips(None, fingerprint, "test", ["a"]), "made without `--corpus`"),
        (clips.clips(tmp_path, fingerprint, "test", ["a"]), "no prepared corpus"),
        (clips.clips(folder, "0" * 16, "test", ["a"]), "is not that of the runs"),
        (clips.clips(folder, fingerprint, "dev", ["a"]), "allowed: test"),
    ):
        assert found.sources == {}
        assert found.summary.startswith("No audio: ")
        assert reason in found.summary


# Attention maps and gradients


def test_pictures_of_inspected_runs_are_shown(whole, tmp_path, monkeypatch):
    run = Run(tmp_path / "run")
    systems = tuple(
        replace(system, runs=(replace(system.runs[0], run=str(run)), *system.runs[1:]))
        if place in (1, 2)
        else system
        for place, system in enumerate(whole.systems)
    )
    id = whole.findings.utterances[0].id
    write_json(
        run.inspect_path("test"),
        {
            "pictures": ["inspect.test.layers.png", "inspect.test.layers.svg"],
            "utterances": [
                {"id": id, "pictures": ["inspect.test.0.attention.png"]},
                {"id": "b", "pictures": ["gone.png"]},
            ],
        },
    )
    for name in ("layers.png", "0.attention.png"):
        run.inspect_path("test", name).write_bytes(name.encode())
    inspected = replace(whole, systems=systems)
    shown = inspect.inspections(inspected).utterances
    # Once, though two systems share the run.
    assert [(each.system, each.seed, each.id) for each in shown] == [
        ("ds2_selfattn", 0, ""),
        ("ds2_selfattn", 0, id),
    ]
    pictures = [base64.b64decode(each.pictures[0].partition(",")[2]) for each in shown]
    assert pictures == [b"layers.png", b"0.attention.png"]
    found = Elements(page(inspected))
    assert len(found.of("img")) == 2
    assert "Attention: see Attention maps and gradients , ds2_selfattn seed 0" in found.text
    monkeypatch.setattr(inspect, "BYTES", 40)
    assert "1 more are in the run folders" in inspect.inspections(inspected).summary


@pytest.mark.parametrize("name", ["{home}/private.png", "../private.png", "link.png"])
def test_pictures_outside_the_run_folder_are_left_out(whole, tmp_path, name):
    (tmp_path / "private.png").write_bytes(b"private")
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    (run.folder / "link.png").symlink_to(tmp_path / "private.png")
    pictures = [name.format(home=tmp_path)]
    write_json(run.inspect_path("test"), {"utterances": [{"id": "a", "pictures": pictures}]})
    system = whole.systems[1]
    system = replace(system, runs=(replace(system.runs[0], run=str(run)), *system.runs[1:]))
    found = inspect.inspections(replace(whole, systems=(whole.systems[0], system)))
    assert found.utterances == ()
    assert re.search(
        r"Left out: .*inspect\.test\.json: found the picture '.*', allowed: ", found.summary
    )


def test_record_of_an_inspection_that_has_another_form_is_left_out(whole, tmp_path):
    run = Run(tmp_path / "run")
    system = whole.systems[1]
    system = replace(system, runs=(replace(system.runs[0], run=str(run)),))
    for record in ([], {"utterances": 3}, {"utterances": [{"pictures": []}]}):
        write_json(run.inspect_path("test"), record)
        found = inspect.inspections(replace(whole, systems=(whole.systems[0], system)))
        assert found.utterances == ()
        assert "Left out: " in found.summary
        assert "inspect.test.json" in found.summary


def test_gradients_are_described_beside_the_figure(whole, elements):
    found = inspect.gradients(whole)
    assert found is not None
    assert len([line for line in found.words if "times that of the highest" in line]) == 6
    assert found.words[0] in elements.text
    systems = tuple(replace(system, gradient_norms=()) for system in whole.systems)
    assert inspect.gradients(replace(whole, systems=systems)) is None


# In a browser


@pytest.fixture(scope="module")
def browser(prepared, tmp_path_factory):
    """The page, opened from disk in a headless Chromium that records what it does."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium and chromedriver here")
    from selenium import webdriver

    folder, found_study = prepared
    path = write([found_study], tmp_path_factory.mktemp("study"), folder)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        *("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        driver.get(path.as_uri())
        yield driver
    finally:
        driver.quit()


def column(browser, number):
    rows = "#results"
    return browser.execute_script(
        f"""return [...document.querySelector("{rows}").closest("figure").querySelectorAll(
        "tbody tr")].map(row => row.cells[{number}].textContent)"""
    )


def shown(browser):
    return [
        article
        for article in browser.find_elements("css selector", ".browser article")
        if article.get_attribute("hidden") is None
    ]


def test_headings_sort(browser, whole):
    heads = browser.find_elements("css selector", "[aria-labelledby=results] thead th")
    cers = sorted(system.cer for system in whole.systems)
    for way, order in (("ascending", cers), ("descending", cers[::-1])):
        heads[1].find_element("tag name", "button").click()
        assert heads[1].get_attribute("aria-sort") == way
        assert column(browser, 1) == [f"{100 * cer:.2f}" for cer in order]
    # By keyboard; what has no difference comes last both ways.
    deltas = sorted(s.difference.delta for s in whole.systems if s.difference)
    for order in (deltas, deltas[::-1]):
        heads[3].find_element("tag name", "button").send_keys("\ue007")
        assert heads[1].get_attribute("aria-sort") == "none"
        expected = [points(delta).replace("-", views.MINUS) for delta in order]
        assert column(browser, 3) == expected + [views.DASH] * 3
    heads[0].find_element("tag name", "button").click()
    assert column(browser, 0) == sorted(system.label for system in whole.systems)


def test_utterances_filter(browser, whole):
    table = {each.id: each for each in whole.findings.utterances}

    def ids():
        return {a.find_element("tag name", "h3").text.split()[0] for a in shown(browser)}

    def choose(name, value):
        box = browser.find_element("css selector", f"select[name={name}]")
        box.find_element("css selector", f"option[value='{value}']").click()

    clear = browser.find_element("css selector", ".utterances form button")
    text = browser.find_element("css selector", "input[name=text]")
    assert ids() == set(table)
    text.send_keys("rubout u B")
    wanted = {id for id, each in table.items() if "RUBOUT U B" in each.reference}
    assert 0 < len(wanted) < len(table)
    assert wanted <= ids() < set(table)
    assert (
        browser.find_element("css selector", ".utterances output").text
        == f"{len(shown(browser))} shown"
    )
    clear.click()
    for side, sign in (("better", -1), ("worse", 1)):
        choose("system", "ds2_selfattn")
        choose("side", side)
        assert ids() == {
            id for id, each in table.items() if sign * each.differences["ds2_selfattn"] > 0
        }
        lines = shown(browser)[0].find_elements("css selector", ".line[data-system]:not([hidden])")
        assert [line.get_attribute("data-system") for line in lines] == [
            "ds2",
            "ds2_selfattn",
        ]
    clear.click()
    speaker = browser.find_element("css selector", "select[name=speaker]")
    speaker.find_element("xpath", "option[text()='F02']").click()
    assert ids() == {id for id, each in table.items() if each.speaker == "F02"}
    clear.click()
    assert ids() == set(table)


def test_the_address_keeps_the_filter(browser, whole):
    """A page that is opened at the address shows the same utterances, at their section."""
    table = {each.id: each for each in whole.findings.utterances}
    text = browser.find_element("css selector", "input[name=text]")
    text.send_keys("RUBOUT & <b>")
    speaker = browser.find_element("css selector", "select[name=speaker]")
    speaker.find_element("xpath", "option[text()='F02']").click()
    address = browser.current_url
    assert address.endswith("#utterances?text=RUBOUT+%26+%3Cb%3E&speaker=F02")
    plain = address.partition("#")[0]

    def open_at(fragment):
        browser.get("about:blank")
        browser.get(plain + fragment)

    try:
        open_at("#utterances?system=ds2_selfattn&side=worse&speaker=F02")
        found = {a.find_element("tag name", "h3").text.split()[0] for a in shown(browser)}
        assert found == {
            id
            for id, each in table.items()
            if each.speaker == "F02" and each.differences["ds2_selfattn"] > 0
        }
        top = "return document.getElementById('utterances').getBoundingClientRect().top"
        assert 0 <= browser.execute_script(top) < 200
        # Clicking a section leaves the filter, and so does a name or a value that is not known.
        browser.execute_script("location.hash = '#results'")
        assert len(shown(browser)) == len(found)
        open_at("#utterances?system=unknown&nonsense=1&reset=2")
        assert len(shown(browser)) == len(table)
    finally:
        open_at("")


def test_navigation_and_the_error_rate_stay_in_view(browser):
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        left = """const frame = document.querySelector(".headline > .table .wide");
            frame.scrollLeft = 10000; const cells = frame.querySelector("tbody tr").cells;
            return [frame.scrollLeft, ...[0, 1].map(k => {
              const box = cells[k].getBoundingClientRect(); return [box.left, box.right]})]"""
        scrolled, variant, rate = browser.execute_script(left)
        assert scrolled > 100
        assert 0 <= variant[0] < variant[1] <= rate[0] + 1 < rate[1] <= 390
        browser.execute_script("window.scrollTo(0, 3000)")
        top = "return document.querySelector('nav').getBoundingClientRect().top"
        assert browser.execute_script(top) == 0
    finally:
        browser.execute_script("window.scrollTo(0, 0)")
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_audio_waits_for_its_reader(browser):
    players = browser.find_elements("tag name", "audio")
    assert len(players) == min(clips.CLIPS, len(browser.find_elements("tag name", "article")))
    for player in players:
        assert player.get_attribute("preload") == "none"
        assert browser.execute_script("return arguments[0].controls", player)
        assert browser.execute_script("return arguments[0].paused", player)
    # The browser can read it: asked for, its duration is that of the samples.
    duration = browser.execute_async_script(
        """const [player, done] = arguments;
        player.addEventListener("loadedmetadata", () => done(player.duration));
        player.addEventListener("error", () => done(player.error.message));
        player.load(); player.preload = "metadata";""",
        players[0],
    )
    id = players[0].get_attribute("aria-label")
    assert duration == pytest.approx(len(noise(int(id[-4:]))) / SAMPLE_RATE_HZ, abs=0.01)


@pytest.mark.parametrize(("width", "medium"), [(1280, "screen"), (390, "screen"), (720, "print")])
def test_the_page_fits_its_window(browser, width, medium):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium})
    wide, window = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= window <= width


def test_no_complaint_no_request_and_no_foreign_script(browser):
    assert browser.execute_script("return window.broken") is None
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert asked, "the page itself is in the log"
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert len({url for url in asked if url.startswith("file:")}) == 1

"""What the command line does with other people's files: pairs and clusters, scores, bundles. Every example of the docs runs."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from resources.shipped import verify
from tests.builders import FORECAST, TEXT
from twainbot.dedupe import ENGINES
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import BadInput, BadUse, UnknownName
from twainbot.evals.statistics import paired_bootstrap
from twainbot.evals.style import Overlap
from twainbot.release import manifest
from twainbot_assets import cli, scoring, tools
from twainbot_assets.cli import main

OTHER = "The deacon sold his mule by daylight and bought her back, dyed, by lamplight the same evening."
EXPECTED = [{"get_forecast": {"location": ["Hannibal, MO"], "datetime": ["tomorrow"]}}]
CALL = {"name": "get_forecast", "arguments": {"location": "Hannibal, MO", "datetime": "tomorrow"}}
BLOCK = re.compile(r"```(?:jsonl|text) (file|output)=([\w-]+)\n(.*?)```", re.DOTALL)


def lines_file(folder, *rows, name="rows.jsonl"):
    file = folder / name
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return file


def texts_file(folder, *texts, name="rows.jsonl"):
    return lines_file(folder, *({"text": text} for text in texts), name=name)


def dedupe(folder, *files, threshold=0.7, column="text"):
    """(what is said, edges, clusters)."""
    said = tools.dedupe_files(files, folder / "out.parquet", threshold, column)
    return said, pl.read_parquet(folder / "out.parquet"), pl.read_parquet(folder / "out-clusters.parquet")


# --- dedupe ----------------------------------------------------------------------------------------------------------


def test_copies_across_files_share_a_cluster_named_by_the_first(tmp_path):
    a, b = texts_file(tmp_path, TEXT, OTHER, name="a.jsonl"), texts_file(tmp_path, TEXT.upper(), name="b.jsonl")
    _, edges, clusters = dedupe(tmp_path, a, b)
    assert edges.rows() == [("a:0", "b:0", 1.0, 1.0)]
    assert clusters.rows() == [("a:0", "a:0", True, 2), ("a:1", "a:1", True, 1), ("b:0", "a:0", False, 2)]


def test_half_of_three_word_shingles_shared_is_a_jaccard_of_one_third(tmp_path):
    # shingles abc bcd cde def against cde def efx fxy: 2 shared of 6
    file = texts_file(tmp_path, "a b c d e f", "c d e f x y")
    _, edges, _ = dedupe(tmp_path, file, threshold=0.3)
    assert edges["jaccard"].to_list() == [pytest.approx(2 / 6)]
    assert edges["containment"].to_list() == [0.5]


def test_null_and_empty_texts_are_counted_and_are_nobodys_duplicates(tmp_path):
    file = lines_file(tmp_path, {"text": None}, {"text": ""}, {"other": 1}, {"text": TEXT})
    said, edges, clusters = dedupe(tmp_path, file)
    assert said.startswith("4 texts, 3 of them null or empty.\n0 pairs of Jaccard similarity 0.7 or more, 4 clusters")
    assert edges.is_empty()
    assert clusters["size"].to_list() == [1, 1, 1, 1]


def test_parquet_and_json_lines_are_read_side_by_side(tmp_path):
    pl.DataFrame({"body": [TEXT, None], "n": [1, 2]}).write_parquet(tmp_path / "p.parquet")
    file = lines_file(tmp_path, {"body": TEXT}, name="j.ndjson")
    _, edges, clusters = dedupe(tmp_path, tmp_path / "p.parquet", file, column="body")
    assert edges.select("a", "b").rows() == [("p:0", "j:0")]
    assert clusters["id"].to_list() == ["p:0", "p:1", "j:0"]


@pytest.mark.parametrize(("columns", "named"), [(("id",), "x"), (("chunk_id",), "x"), (("id", "chunk_id"), "y")])
def test_rows_are_named_by_chunk_id_then_by_id(tmp_path, columns, named):
    row = {"text": TEXT, **dict(zip(columns, "xy", strict=False))}
    _, _, clusters = dedupe(tmp_path, lines_file(tmp_path, row, {"text": OTHER}))
    assert clusters["id"].to_list() == [named, "rows:1"]


def test_ids_that_two_files_share_are_told_apart_by_file(tmp_path):
    files = [lines_file(tmp_path, {"id": 1, "text": text}, name=f"{text[:3]}.jsonl") for text in (TEXT, OTHER)]
    _, _, clusters = dedupe(tmp_path, *files)
    assert clusters["id"].to_list() == ["It :1", "The:1"]


def test_two_files_of_one_name_are_told_apart(tmp_path):
    (tmp_path / "b").mkdir()
    files = [texts_file(tmp_path, TEXT), texts_file(tmp_path / "b", TEXT)]
    _, edges, _ = dedupe(tmp_path, *files)
    assert edges.select("a", "b").rows() == [("rows:0", "rows-2:0")]


def test_an_id_twice_in_one_file_is_refused(tmp_path):
    file = lines_file(tmp_path, {"id": "x", "text": TEXT}, {"id": "x", "text": OTHER})
    with pytest.raises(BadInput, match="Two rows have the id 'rows:x'"):
        dedupe(tmp_path, file)


@given(st.lists(st.lists(st.one_of(st.none(), st.sampled_from("abc")), unique=True, max_size=4), max_size=3))
def test_row_ids_are_distinct_whatever_ids_files_share(ids_of_files):
    files = [tools.TextFile(f"f{n}", ids, [""] * len(ids)) for n, ids in enumerate(ids_of_files)]
    found = tools.row_ids(files)
    assert len(set(found)) == len(found) == sum(map(len, ids_of_files))


def test_a_missing_column_names_those_there_are(tmp_path):
    pl.DataFrame({"body": [TEXT], "n": [1]}).write_parquet(tmp_path / "p.parquet")
    for file in (tmp_path / "p.parquet", lines_file(tmp_path, {"body": TEXT, "n": 1})):
        with pytest.raises(BadUse, match=r"has no column 'text'\. It has: body, n\. Choose with --text-column"):
            dedupe(tmp_path, file)


def test_a_column_that_is_no_text_is_refused(tmp_path):
    pl.DataFrame({"text": [1, 2]}).write_parquet(tmp_path / "p.parquet")
    with pytest.raises(BadUse, match="holds Int64, not text"):
        dedupe(tmp_path, tmp_path / "p.parquet")
    with pytest.raises(BadInput, match=r"rows.jsonl line 2: 'text' is int, not text"):
        dedupe(tmp_path, texts_file(tmp_path, TEXT, 3))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("bad.parquet", b"PAR1 not really", "bad.parquet is not a readable Parquet file"),
        ("bad.jsonl", b'{"text": "a"}\n{"text"', "bad.jsonl line 2 is not JSON"),
        ("bad.jsonl", b"\xff\xfe\x00", "bad.jsonl is not UTF-8 text"),
        ("bad.jsonl", b'{"text": "a"}\n{"text": "b\xffc"}', r"not UTF-8 text \(line 2 has the byte 0xff\)"),
        ("bad.jsonl", b'{"id": ' + b"9" * 5000 + b"}", "line 1 is not JSON .Exceeds the limit"),
        ("bad.jsonl", b"[" * 99_999, "line 1 is not JSON .maximum recursion depth"),
        ("bad.jsonl", b"\x00\x00", "line 1 is not JSON"),
        ("bad.jsonl", b'{"id": "\\ud800", "text": "a"}', "line 1: 'id' holds half of a surrogate pair"),
        ("bad.jsonl", b'{"id": [1], "text": "a"}', "line 1: 'id' is list, which names no row"),
        ("bad.parquet", b"", "bad.parquet is not a readable Parquet file"),
        ("bad.csv", b"text\na\n", "bad.csv has the suffix '.csv'"),
    ],
)
def test_an_unreadable_file_is_named_and_nothing_is_written(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says):
        dedupe(tmp_path, tmp_path / name)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet"])
def test_a_file_of_no_rows_gives_empty_tables(tmp_path, name):
    file = tmp_path / name
    pl.DataFrame(schema={"text": pl.String}).write_parquet(file) if file.suffix == ".parquet" else file.write_bytes(b"")
    said, edges, clusters = dedupe(tmp_path, file)
    assert said.startswith("0 texts, 0 of them null or empty.")
    assert (edges.height, clusters.height) == (0, 0)


def test_files_whose_ids_are_of_unlike_types_are_read_side_by_side(tmp_path):
    for name, ids in (("a", [1, 2]), ("b", ["x", None])):
        pl.DataFrame({"text": [TEXT, OTHER], "id": ids}).write_parquet(tmp_path / f"{name}.parquet")
    _, edges, clusters = dedupe(tmp_path, tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert edges.select("a", "b").rows() == [("1", "x"), ("2", "b:1")]
    assert clusters["id"].to_list() == ["1", "2", "x", "b:1"]


def test_ids_that_are_structures_are_refused(tmp_path):
    pl.DataFrame({"text": [TEXT], "id": [{"n": 1}]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(BadUse, match=r"'id' of .* names no row"):
        dedupe(tmp_path, tmp_path / "a.parquet")


def test_hostile_texts_pass_through_and_none_is_lost(tmp_path):
    texts = ["дождь и туман", "ДОЖДЬ, и туман!", "霧 雨", "🙂👍🏽", "", None, "\x00", "a\u2028b", "\ud800 fog"]
    _, edges, clusters = dedupe(tmp_path, lines_file(tmp_path, *({"text": text} for text in texts)))
    assert clusters["id"].to_list() == [f"rows:{row}" for row in range(len(texts))]
    assert edges.select("a", "b").rows() == [("rows:0", "rows:1")]


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_can_be_chosen_on_the_command_line(tmp_path, engine):
    file = texts_file(tmp_path, TEXT, TEXT.upper(), OTHER)
    ran = CliRunner().invoke(main, ["dedupe", str(file), "-o", str(tmp_path / "o.parquet"), "--engine", engine])
    assert ran.exit_code == 0, ran.output
    assert pl.read_parquet(tmp_path / "o.parquet").rows() == [("rows:0", "rows:1", 1.0, 1.0)]


def test_an_engine_that_is_not_there_ends_the_command_with_exit_code_2_and_names_those_there_are(tmp_path):
    file = texts_file(tmp_path, TEXT)
    ran = CliRunner().invoke(main, ["dedupe", str(file), "-o", str(tmp_path / "o.parquet"), "--engine", "lsh"])
    assert ran.exit_code == 2
    assert all(engine in ran.output for engine in ENGINES)


def test_the_engines_of_the_command_are_those_of_the_package():
    assert cli.ENGINES == ENGINES


PEAK = """
import re, sys
from pathlib import Path
from twainbot_assets.tools import dedupe_files
print(dedupe_files([Path(sys.argv[1])], Path(sys.argv[2]), 0.7, "text"))
print(re.findall(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[0])
"""


def peak_gb(tmp_path, lines) -> tuple[str, float]:
    """What the command says of these lines, and how much memory a process of its own took for them."""
    file = tmp_path / "rows.jsonl"
    with file.open("w") as opened:
        opened.writelines(f"{json.dumps({'text': text})}\n" for text in lines)
    call = [sys.executable, "-c", PEAK, str(file), str(tmp_path / "out.parquet")]
    said = subprocess.run(call, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    return said, int(said.splitlines()[-1]) / 2**20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_identical_texts_are_one_cluster_in_bounded_memory(tmp_path):
    said, peak = peak_gb(tmp_path, ("It rained on the river." for _ in range(1_000_000)))
    assert "1,001,952 pairs of Jaccard similarity 0.7 or more, 1 clusters, 999,999 repeats" in said
    assert peak < 1.0  # measured: 0.5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_template_twenty_thousand_times_is_one_cluster_in_bounded_memory(tmp_path):
    line = "the office at {} reports that rain fell over all of the county from the early morning until late at night"
    said, peak = peak_gb(tmp_path, (line.format(f"station{row}") for row in range(20_000)))
    assert "1 clusters, 19,999 repeats" in said
    assert peak < 1.0  # measured: 0.55


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_line_of_a_hundred_megabytes_finds_its_copy_in_bounded_memory(tmp_path):
    words = [f"w{number * number % 99_991}" for number in range(14_500_000)]  # repeats after 99,991 words
    text = " ".join(words)
    said, peak = peak_gb(tmp_path, [text, "fog", f"{text} and so to bed"])
    assert len(text) > 95_000_000
    assert "1 pairs of Jaccard similarity 0.7 or more, 2 clusters, 1 repeats" in said
    assert peak < 2.0


def test_a_file_that_is_not_there_is_bad_use(tmp_path):
    with pytest.raises(BadUse, match="There is no file"):
        dedupe(tmp_path, tmp_path / "absent.parquet")


def test_an_input_is_never_overwritten(tmp_path):
    file = tmp_path / "out-clusters.parquet"
    pl.DataFrame({"text": [TEXT]}).write_parquet(file)
    with pytest.raises(BadUse, match="is an input and would be overwritten"):
        dedupe(tmp_path, file)
    assert pl.read_parquet(file).columns == ["text"]


def test_an_output_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "out.parquet").mkdir()
    with pytest.raises(BadUse, match="is a folder"):
        dedupe(tmp_path, texts_file(tmp_path, TEXT))


def test_a_threshold_out_of_range_ends_the_command_with_exit_code_2(tmp_path):
    file = texts_file(tmp_path, TEXT)
    ran = CliRunner().invoke(main, ["dedupe", str(file), "-o", str(tmp_path / "o.parquet"), "--threshold", "1.5"])
    assert ran.exit_code == 2
    assert "threshold=1.5 must be above 0 and at most 1" in ran.output


# --- score -----------------------------------------------------------------------------------------------------------


def documented(root):
    """Example files and outputs of docs/scoring.md by (file or output, score)."""
    return {(kind, name): text for kind, name, text in BLOCK.findall((root / "docs/scoring.md").read_text("utf-8"))}


@pytest.mark.parametrize("what", ["tool-calls", "grounding"])
def test_the_documented_example_gives_the_documented_output(root, tmp_path, what):
    examples = documented(root)
    file = tmp_path / "rows.jsonl"
    file.write_text(examples["file", what], encoding="utf-8")
    ran = CliRunner().invoke(main, ["score", what, str(file)])
    assert ran.exit_code == 0, ran.output
    assert ran.output == examples["output", what]


@pytest.mark.slow
def test_the_documented_style_example_gets_its_ceiling_and_gain(root, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(documented(root)["file", "style"], encoding="utf-8")
    found = json.loads(tools.score_file("style", file, as_json=True))
    ceiling = found["summary"]["ceiling"]
    assert 0 < ceiling["other_rate"] < ceiling["target_rate"] < 1
    assert found["gain"]["n"] == 2
    assert (
        found["gain"]["probability_gain"]["mean"] > 0
    )  # the examples are in the persona's manner, the baselines plain


def test_every_key_of_a_form_is_documented(root):
    text = (root / "docs/scoring.md").read_text("utf-8")
    keys = {key for form in (scoring.CallLine, scoring.GroundingLine, scoring.StyleLine) for key in form.model_fields}
    assert {key for key in keys if f"| `{key}` |" not in text} == set()


def test_replies_that_copy_more_than_twelve_words_are_counted():
    runs = [Overlap(12, "as much as anyone may", 0), Overlap(13, "one word too many", 0), Overlap(0, "", -1)]
    counted, longest = scoring.overlap_lines(runs)
    assert re.search(r"share over 12 words in a row +33\.3%  \(1 of 3, ", counted)
    assert longest.endswith("13 words: 'one word too many'")


def test_works_with_planted_copies_are_no_reference():
    assert not [work for work in scoring.sample_works() if work["unit"] == "canaries"]


def test_pieces_are_eighty_words_and_a_short_tail_is_dropped():
    words = [f"w{n}" for n in range(80 + 80 + 39)]
    assert [len(piece.split()) for piece in scoring.pieces(" ".join(words))] == [80, 80]
    assert [len(piece.split()) for piece in scoring.pieces(" ".join([*words, "w"]))] == [80, 80, 40]
    assert scoring.pieces("one short saying") == ["one short saying"]


def test_a_lost_call_is_wrong_in_both_readings(tmp_path):
    row = {"reply": '<tool_call>{"name": "get_forecast", "argum', "expected": EXPECTED, "tools": TOOLS}
    found = json.loads(tools.score_file("tool-calls", lines_file(tmp_path, row), as_json=True))
    assert found["rows"][0]["strict"] is found["rows"][0]["normalised"] is False
    assert found["rows"][0]["errors"][0].startswith("truncated")
    assert found["summary"]["format_error_rate"] == 1.0


def test_figures_by_kind_stand_beside_those_of_all_rows(tmp_path):
    rows = [{"predicted": [], "expected": [], "tools": TOOLS}, {"predicted": [], "expected": EXPECTED, "tools": TOOLS}]
    said = tools.score_file("tool-calls", lines_file(tmp_path, *rows), as_json=False)
    assert "exact, strict, of `none`                100.0%  (1 of 1" in said
    assert "exact, strict, of `simple`                0.0%  (0 of 1" in said
    found = json.loads(tools.score_file("tool-calls", lines_file(tmp_path, *rows), as_json=True))
    assert (found["by_kind"]["none"]["no_call_accuracy"], found["by_kind"]["simple"]["recall"]) == (1.0, 0.0)
    assert "of `simple`" not in tools.score_file("tool-calls", lines_file(tmp_path, rows[1]), as_json=False)


def test_a_reply_with_no_tool_result_is_counted_apart(tmp_path):
    file = lines_file(tmp_path, {"reply": "It will be 71 degrees.", "tool_results": []},
                      {"reply": "A high of 71 in Hannibal tomorrow.", "tool_results": [json.dumps(FORECAST)]})  # fmt: skip
    found = json.loads(tools.score_file("grounding", file, as_json=True))
    assert (found["summary"]["replies"], found["summary"]["error_replies"]) == (1, 0)
    assert (found["without_forecast"]["replies"], found["without_forecast"]["error_replies"]) == (1, 1)


def test_only_the_first_ten_faults_are_shown_to_people(tmp_path):
    rows = [{"predicted": [], "expected": EXPECTED, "tools": TOOLS}] * 12
    said = tools.score_file("tool-calls", lines_file(tmp_path, *rows), as_json=False)
    assert "line 10: 0 calls where 1 are right." in said
    assert "line 11" not in said
    assert "and 2 more: --json lists all" in said


def test_a_single_pair_has_no_interval_in_words_and_null_in_json():
    gain = paired_bootstrap([0.0], [1.0], seed=1)
    assert "+100.0%  (1 pairs, too few pairs for an interval)" in scoring.gain_line("gain", gain)
    assert scoring.finite(asdict(gain))["interval"]["low"] is None
    assert scoring.finite({"rows": [math.nan, 1.5]}) == {"rows": [None, 1.5]}


@pytest.mark.parametrize(
    ("what", "row", "says"),
    [
        ("tool-calls", "{", "line 2 is not JSON"),
        ("tool-calls", {"expected": []}, "line 2: give `reply`"),
        ("tool-calls", {"reply": "x"}, "line 2: expected: Field required"),
        ("tool-calls", {"reply": 3, "expected": []}, "line 2: reply: Input should be a valid string"),
        ("tool-calls", {"predicted": [CALL], "expected": EXPECTED}, "line 2: give `tools`"),
        ("tool-calls", {"reply": "", "expected": [{}], "tools": TOOLS}, "line 2: each expected call"),
        (
            "tool-calls",
            {"reply": "", "expected": [{"f": {"p": "bare"}}], "tools": TOOLS},
            "line 2: expected.0.f.p: Input should be a valid list",
        ),
        ("tool-calls", {"reply": "", "expected": EXPECTED, "tools": [{}]}, "line 2: each of `tools` needs a name"),
        ("grounding", {"reply": "x"}, "line 2: tool_results: Field required"),
        ("grounding", {"reply": "x", "tool_results": FORECAST}, "line 2: tool_results: Input should be a valid list"),
        ("grounding", {"reply": "x", "tool_results": [], "calls": [CALL]}, "line 2: 1 calls for 0 tool_results"),
        ("grounding", {"reply": "x", "tool_results": [], "today": "soon"}, "line 2: today: "),
        ("style", {"baseline": "x"}, "line 2: reply: Field required"),
    ],
)
def test_a_malformed_line_is_named_with_its_number(tmp_path, what, row, says):
    sound = {"reply": "", "expected": [], "tool_results": []}
    with pytest.raises(BadInput, match=re.escape(says)):
        tools.score_file(what, lines_file(tmp_path, sound, row), as_json=False)


def test_an_empty_file_and_an_unknown_score_are_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no line to score"):
        tools.score_file("style", lines_file(tmp_path, "", ""), as_json=False)
    with pytest.raises(UnknownName, match="Known: tool-calls, grounding, style"):
        tools.score_file("wit", lines_file(tmp_path, ""), as_json=False)


# --- bundles ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path):
    """A bundle of two files with its manifest."""
    files = {"README.md": b"# Card\n", "adapter/weights.bin": b"1234"}
    made = manifest.build("twainbot-lora", "v0.1", files, {"base": "b"}, rehearsal=True)
    for path, content in {**files, manifest.MANIFEST_NAME: manifest.to_json(made)}.items():
        target = tmp_path / "bundle" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return tmp_path / "bundle"


def test_a_whole_bundle_is_named_with_its_manifest_id(bundle):
    identity = json.loads((bundle / "manifest.json").read_text())["manifest_id"]
    said = tools.verify_folder(bundle)
    assert said.startswith("twainbot-lora v0.1, a rehearsal: 3 files, ")
    assert said.endswith(f"Manifest {identity}.")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: (folder / "README.md").write_bytes(b"# Cart\n"), "README.md has sha256"),
        (lambda folder: (folder / "README.md").write_bytes(b""), "README.md has 0 bytes, 7 expected"),
        (lambda folder: (folder / "adapter" / "weights.bin").unlink(), "adapter/weights.bin is missing"),
        (lambda folder: (folder / "extra").write_bytes(b""), "extra is in the folder but not in the manifest"),
        (lambda folder: (folder / "link").symlink_to("README.md"), "link is a symbolic link"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"{"), "manifest.json is not JSON"),
    ],
)
def test_a_harmed_bundle_is_refused_with_what_is_wrong(bundle, harm, says):
    harm(bundle)
    with pytest.raises(BadInput, match=says):
        tools.verify_folder(bundle)


LEFT = (".git/HEAD", ".cache/huggingface/download/README.md.metadata", "__pycache__/verify.pyc")


@pytest.mark.parametrize("left", LEFT)
def test_what_git_the_hubs_client_and_python_leave_in_a_bundle_harms_it_for_neither_program(bundle, left):
    (bundle / left).parent.mkdir(parents=True)
    (bundle / left).write_bytes(b"x")
    (bundle / left).with_name("link").symlink_to("nowhere")
    assert "v0.1, a rehearsal: 3 files, " in tools.verify_folder(bundle)
    assert verify.file_problems(bundle, json.loads((bundle / "manifest.json").read_text())) == []


def test_the_gitattributes_that_the_hub_puts_beside_a_bundle_do_not_harm_it(bundle):
    (bundle / ".gitattributes").write_bytes(b"*.bin filter=lfs\n")
    assert "v0.1, a rehearsal: 3 files, " in tools.verify_folder(bundle)


def test_a_gitattributes_of_the_bundles_own_is_held_to_its_hash(tmp_path):
    files = {".gitattributes": b"*.gguf filter=lfs\n"}
    made = manifest.build("twainbot-lora", "v0.1", files, {"base": "b"})
    (tmp_path / ".gitattributes").write_bytes(b"*.gguf filter=tfs\n")
    (tmp_path / "manifest.json").write_bytes(manifest.to_json(made))
    with pytest.raises(BadInput, match=r"\.gitattributes has sha256"):
        tools.verify_folder(tmp_path)


def test_all_problems_of_a_bundle_are_listed_up_to_twenty(bundle):
    for number in range(23):
        (bundle / f"extra-{number:02}").write_bytes(b"")
    with pytest.raises(BadInput, match=r"extra-19 is in the folder .*\n  and 3 more") as error:
        tools.verify_folder(bundle)
    assert "extra-20" not in str(error.value)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path):
    ran = CliRunner().invoke(main, ["verify-bundle", str(tmp_path)])
    assert ran.exit_code == 2
    assert "holds no manifest.json, so it is no bundle" in ran.output

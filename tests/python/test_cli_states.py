"""The commands that take states: merge, subtract, show of groups, compare, digest, check; and completion."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from exactnorm.cli._app import app
from typer.testing import CliRunner

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "exactnorm")
A = {"x": [1.0, 2.0, 4.0], "y": [5.0, 5.0, 5.0]}
B = {"x": [0.5, 8.0], "y": [6.0, np.nan]}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, status: int = 0) -> Any:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def refused(*arguments: str) -> str:
    """The one line that says why a command will not; all files stay."""
    before = {path: path.read_bytes() for path in Path().iterdir()}
    result = run(*arguments, status=1)
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)
    assert {path: path.read_bytes() for path in Path().iterdir()} == before
    return str(result.stderr)


def save(name: str, data: dict[str, Any], **options: Any) -> en.Moments:
    moments = en.Moments.from_data(data, **options)
    moments.save(name)
    return moments


def save_groups(name: str, data: dict[str, Any], keys: list[Any]) -> en.GroupedMoments:
    groups = en.GroupedMoments.from_data(data, keys=keys)
    groups.save(name)
    return groups


def save_layer(file: str, data: Any, **options: Any) -> en.Normalization:
    layer = en.Normalization(**options)
    layer.adapt(data)
    layer.save(file)
    return layer


def test_a_year_of_days() -> None:
    rng = np.random.default_rng(0)
    days = [{f"c{i}": rng.normal(size=9) * 10.0**i for i in range(4)} for _ in range(365)]
    for number, day in enumerate(days):
        save(f"day{number:03}.json", day)
    files = sorted(map(str, Path().glob("day*.json")))
    assert run("merge", *files, "-o", "year.json").output == ""
    year = en.Moments.from_data({name: np.concatenate([day[name] for day in days]) for name in days[0]})
    assert en.load("year.json") == year
    run("merge", *reversed(files), "-o", "reversed.json")
    assert Path("reversed.json").read_bytes() == Path("year.json").read_bytes()
    run("subtract", "year.json", "day000.json", "-o", "year.json")
    rest = en.Moments.from_data({n: np.concatenate([day[n] for day in days[1:]]) for n in days[0]})
    assert en.load("year.json").digest == rest.digest
    run("merge", "year.json", "day000.json", "-o", "year.json")  # onto itself
    assert en.load("year.json") == year


def test_groups_merge_and_are_subtracted() -> None:
    a, b = save_groups("a.json", A, ["u", "v", "u"]), save_groups("b.json", B, ["w", "u"])
    run("merge", "a.json", "b.json", "-o", "c.json")
    assert en.load("c.json") == a + b
    run("subtract", "c.json", "a.json", "-o", "c.json")
    assert en.load("c.json") == b


def test_layers_merge_and_are_subtracted() -> None:
    options: dict[str, Any] = {"epsilon": 0.5, "nan_policy": "omit", "dtype": "float64"}
    a, b = (save_layer(f"{n}.json", d, name=n, **options) for n, d in (("a", A), ("b", B)))
    run("merge", "a.json", "b.json", "-o", "c.json")
    both = en.load("c.json")
    assert isinstance(both, en.Normalization)
    assert both.moments == a.moments + b.moments
    assert (both.get_config(), both.is_adapted) == (a.get_config(), True)
    x = np.array([[1.0, 2.0]])
    assert both(x).tolist() == save_layer("all.json", both.moments, **options)(x).tolist()
    run("subtract", "c.json", "b.json", "-o", "c.json")
    assert en.load("c.json").to_bytes() == a.to_bytes()


def test_summaries_for_machines() -> None:
    states = {
        "Moments": (save("a0.json", A), save("a1.json", B)),
        "Normalization": [
            save_layer(name, data, nan_policy="omit") for name, data in (("b0.json", A), ("b1.json", B))
        ],
        "GroupedMoments": (
            save_groups("c0.json", A, ["p", "q", "p"]),
            save_groups("c1.json", B, ["p", "r"]),
        ),
    }
    for letter, kind in zip("abc", states, strict=True):
        names = [f"{letter}0.json", f"{letter}1.json"]
        merged = json.loads(run("merge", *names, "-o", "whole.json", "--json").stdout)
        rest = json.loads(run("subtract", "whole.json", names[1], "-o", "rest.json", "--json").stdout)
        digests = json.loads(run("digest", "whole.json", "rest.json", "--json").stdout)
        groups = ({"groups": 3}, {"groups": 2}) if kind == "GroupedMoments" else ({}, {})
        for found, output, more in zip((merged, rest), ("whole.json", "rest.json"), groups, strict=True):
            digest = digests[output]
            assert found == {"output": output, "kind": kind, "digest": digest, "features": 2, **more}
            assert run("digest", output).stdout == f"{digest}  {output}\n"
    Path("bad.json").write_text("{}")
    bad = run("digest", "a0.json", "bad.json", "--json", status=1)
    assert json.loads(bad.stdout) == {"a0.json": states["Moments"][0].digest}
    assert "bad.json" in bad.stderr
    assert "--check" in run("digest", "--check", "a0.json", "--json", status=2).stderr


def test_a_state_is_not_replaced_by_what_is_made_of_it() -> None:
    save("a.json", A)
    Path("link.json").symlink_to("a.json")
    for output in ("a.json", "./a.json", "link.json"):
        for command in (["export", "-f", "json"], ["report"]):
            assert f"{output}: this is the state itself" in refused(*command, "a.json", "-o", output)
    save("b.json", B)
    assert "a.json: this is the state itself" in refused("report", "b.json", "a.json", "-o", "a.json")


def test_what_does_not_merge_is_named() -> None:
    save("a.json", A)
    save("same.json", A)
    save("names.json", {"x": [1.0], "z": [1.0]})
    save("shape.json", {"x": [1.0]})
    save("weighted.json", A, weights=[1, 2, 3])
    save_groups("groups.json", A, [1, 2, 3])
    save_groups("strings.json", A, ["1", "2", "3"])
    save_layer("layer.json", A)
    save_layer("other.json", A, epsilon=1.0)
    en.Normalization(mean=0.0, variance=1.0).save("given.json")
    Path("bad.json").write_text("{")
    for file, reason in (
        ("names.json", "different names: 'y' and 'z'"),
        ("shape.json", "different shapes: (2,) and (1,)"),
        ("weighted.json", "weighted and unweighted"),
    ):
        said = refused("merge", "a.json", "same.json", file, "-o", "a.json")
        assert said.startswith(f"exactnorm: {file} beside a.json: ")
        assert reason in said
        assert f"{file} beside a.json: " in refused("subtract", "a.json", file, "-o", "a.json")
    for command in ("merge", "subtract"):
        said = refused(command, "a.json", "groups.json", "-o", "a.json")
        assert "groups.json: expected Moments, as a.json holds, got GroupedMoments" in said
        assert "strings.json beside groups.json: " in refused(
            command, "groups.json", "strings.json", "-o", "c"
        )
        said = refused(command, "layer.json", "other.json", "-o", "a.json")
        assert "other.json: a layer of epsilon 1.0 does not go with layer.json, of 1e-07" in said
        said = refused(command, "given.json", "given.json", "-o", "a.json")
        assert "given.json: the layer has not learned anything" in said
        assert "bad.json: " in refused(command, "a.json", "bad.json", "-o", "a.json")
        assert "none.json" in refused(command, "a.json", "none.json", "-o", "a.json")


def test_what_was_never_added_is_not_taken_away() -> None:
    save("a.json", A)
    save("b.json", {"x": [100.0], "y": [5.0]})
    said = refused("subtract", "a.json", "b.json", "-o", "a.json")
    assert "b.json beside a.json: cannot subtract" in said
    assert "'x'" in said


def test_show_groups() -> None:
    groups = save_groups("groups.json", A, ["u", "v", "u"])
    title, header, *rows, digest = run("show", "groups.json").stdout.splitlines()
    assert title == "GroupedMoments of 2 groups of 2 features"
    assert header.split("  ") == ["key", "count", "mean of x", "mean of y"]
    assert [row.split() for row in rows] == [["u", "2", "2.5", "5"], ["v", "1", "2", "5"]]
    assert digest == f"digest {groups.digest}"
    groups["u"].save("u.json")
    for options in ([], ["--json"]):
        one = run("show", "groups.json", "--key", "u", *options).stdout
        assert one == run("show", "u.json", *options).stdout
    known = json.loads(run("show", "groups.json", "--json").stdout)
    assert (known["kind"], known["digest"], known["shape"]) == ("GroupedMoments", groups.digest, [2])
    assert [group["key"] for group in known["groups"]] == ["u", "v"]
    assert known["groups"][0]["features"] == json.loads(run("show", "u.json", "--json").stdout)["features"]
    assert "groups.json: no key 'w': its keys are u, v" in refused("show", "groups.json", "--key", "w")
    assert "u.json: expected groups to choose from, got Moments" in refused("show", "u.json", "--key", "u")


def test_show_groups_of_numbers_and_of_many_features() -> None:
    groups = en.GroupedMoments.from_data(np.arange(14.0).reshape(2, 7), keys=[-3, 12])
    groups.save("groups.json")
    shown = run("show", "groups.json").stdout
    assert "mean of 4" in shown
    assert "mean of 5" not in shown
    assert "means of 5 of 7 features; --key shows a group\n" in shown
    assert (
        json.loads(run("show", "groups.json", "--json", "--key", "-3").stdout)["digest"] == groups[-3].digest
    )
    assert "no key '03x'" in refused("show", "groups.json", "--key", "03x")


def drift_files() -> None:
    missing = np.ma.masked_all(3)
    before = {"still": [1.0, 2.0, 3.0], "moved": [0.0, 2.0, 4.0], "gone": [1.0, 2.0, 3.0]}
    after = {"still": [1.0, 2.0, 3.0], "moved": [1.0, 3.0, 5.0], "gone": missing}
    save(
        "before.json", before | {"new": missing, "empty": missing, "constant": [7.0] * 3, "fixed": [7.0] * 3}
    )
    save(
        "after.json",
        after | {"new": [1.0, 2.0, 3.0], "empty": missing, "constant": [8.0] * 3, "fixed": [7.0] * 3},
    )


def test_compare() -> None:
    drift_files()
    expected = en.compare(en.load("before.json"), en.load("after.json"))
    result = run("compare", "before.json", "after.json")
    assert result.stderr == ""
    rows = [line.split() for line in result.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [row.feature for row in expected.sort("shift")]
    assert rows[1][:3] == ["moved", "+0.6124", "1"]
    by_name = run("compare", "before.json", "after.json", "--sort", "feature").stdout.splitlines()[2:]
    assert [line.split()[0] for line in by_name] == sorted(row.feature for row in expected)


def test_compare_fails_for_drift_with_a_status_of_its_own() -> None:
    drift_files()
    result = run("compare", "before.json", "after.json", "--fail-above", "0.5", status=3)
    assert result.stderr.splitlines() == [
        "exactnorm: after.json: 'constant' was constant, and has moved",
        "exactnorm: after.json: 'moved' has shifted by +0.6124 sd",
        "exactnorm: after.json: 'gone' has no values any more",
        "exactnorm: after.json: 'new' had no values before",
    ]
    marked = [line.split()[0] for line in result.stdout.splitlines() if line.endswith("fails")]
    assert marked == ["constant", "moved", "gone", "new"]
    wide = run("compare", "before.json", "after.json", "--fail-above", "0.7", status=3).stderr
    assert "'moved'" not in wide
    run("compare", "before.json", "before.json", "--fail-above", "0")


def test_a_shift_at_the_limit_passes() -> None:
    save("a.json", {"x": [0.0, 2.0]})
    save("b.json", {"x": [1.0, 3.0]})
    run("compare", "a.json", "b.json", "--fail-above", "1")
    run("compare", "b.json", "a.json", "--fail-above", "0.999", status=3)
    run("compare", "a.json", "b.json", "--fail-above", "-1", status=2)


def test_compare_for_machines() -> None:
    drift_files()
    text = run("compare", "before.json", "after.json", "--json", "--fail-above", "0.5", status=3).stdout
    known = json.loads(text, parse_constant=pytest.fail)
    assert known["before"] == {"file": "before.json", "digest": en.load("before.json").digest}
    assert (known["fail_above"], known["failed"]) == (0.5, ["constant", "moved", "gone", "new"])
    rows = {row.pop("feature"): row for row in known["features"]}
    moved = en.compare(en.load("before.json"), en.load("after.json"))["moved"]
    assert rows["moved"] == {
        "shift": moved.shift,
        "variance_ratio": 1.0,
        "null_rate_before": 0.0,
        "null_rate_after": 0.0,
        "nan_rate_before": 0.0,
        "nan_rate_after": 0.0,
        "failure": "has shifted by +0.6124 sd",
    }
    assert rows["constant"]["shift"] is None
    assert rows["gone"]["null_rate_after"] == 1
    assert rows["empty"]["failure"] is None
    assert json.loads(run("compare", "before.json", "after.json", "--json").stdout)["failed"] == []


def test_compare_groups_and_layers() -> None:
    a, b = save_groups("a.json", A, [1, 1, 2]), save_groups("b.json", B, [1, 2])
    a[1].save("a1.json")
    b[1].save("b1.json")
    a.total().save("at.json")
    b.total().save("bt.json")

    def table(*arguments: str) -> list[str]:
        return list(run("compare", *arguments).stdout.splitlines()[1:])

    assert table("a.json", "b.json", "--key", "1") == table("a1.json", "b1.json")
    assert table("a.json", "b.json", "--total") == table("at.json", "bt.json")
    assert "a.json: choose one of 2 groups with --key" in refused("compare", "a.json", "b.json")
    save_layer("layer.json", A)
    assert table("layer.json", "at.json")
    en.Normalization(mean=0.0, variance=1.0).save("given.json")
    assert "given.json: the layer has not learned" in refused("compare", "at.json", "given.json")
    save("other.json", {"x": [1.0]})
    assert "at.json and other.json: expected equal shapes" in refused("compare", "at.json", "other.json")


def test_digests() -> None:
    states = [save("a b.json", A), save_groups("g.json", A, [1, 2, 3]), save_layer("l.json", A).moments]
    listed = run("digest", "a b.json", "g.json", "l.json").stdout
    assert listed == "".join(
        f"{state.digest}  {file}\n"
        for state, file in zip(states, ("a b.json", "g.json", "l.json"), strict=True)
    )
    Path("list.txt").write_text(listed)
    assert run("digest", "--check", "list.txt").stdout == "a b.json: OK\ng.json: OK\nl.json: OK\n"
    save("a b.json", B)
    Path("g.json").unlink()
    result = run("digest", "--check", "list.txt", status=1)
    assert result.stdout == "l.json: OK\n"
    assert f"a b.json: expected {states[0].digest}, got xxh3-128:" in result.stderr
    assert "g.json" in result.stderr
    Path("list.txt").write_text("what is this\n")
    assert "list.txt: line 1 is not a digest" in refused("digest", "--check", "list.txt")


def test_digest_goes_on_after_a_file_that_will_not_do() -> None:
    moments = save("a.json", A)
    en.Normalization().save("new.json")
    result = run("digest", "none.json", "new.json", "a.json", status=1)
    assert result.stdout == f"{moments.digest}  a.json\n"
    assert result.stderr.count("\n") == 2
    assert "new.json: the layer has not learned anything" in result.stderr


def test_check() -> None:
    save("a.json", A)
    save_groups("g.json", A, [1, 2, 3])
    en.Normalization(mean=[1.0], variance=[1.0]).save("given.json")
    text = Path("a.json").read_text()
    Path("count.json").write_text(text.replace('"count": 3', '"count": 4', 1))
    Path("short.json").write_text(text[: len(text) // 2])
    Path("later.json").write_text(text.replace('"version": 1', '"version": 2'))
    good = run("check", "a.json", "g.json", "given.json")
    assert good.stderr == ""
    assert good.stdout.splitlines() == [
        "a.json: OK, Moments of shape (2,): 2 features, 3 values each",
        "g.json: OK, GroupedMoments of shape (2,): 3 groups of 2 features: 1, 2, 3",
        "given.json: OK, Normalization(mean=[1.0], variance=[1.0]): given mean and variance",
    ]
    files = ["count.json", "a.json", "short.json", "later.json", "none.json"]
    mixed = run("check", *files, status=1)
    assert mixed.stdout == good.stdout.splitlines(keepends=True)[0]
    said = mixed.stderr.splitlines()
    assert [line.split(":")[:2] for line in said] == [
        ["exactnorm", f" {file}"] for file in ("count.json", "short.json", "later.json", "none.json")
    ]
    assert said[3] == "exactnorm: none.json: No such file or directory"
    known = json.loads(run("check", "--json", *files, status=1).stdout)
    assert known["ok"] is False
    assert [each["ok"] for each in known["files"]] == [False, True, False, False, False]
    assert known["files"][1] == {
        "file": "a.json",
        "ok": True,
        "kind": "Moments",
        "digest": en.load("a.json").digest,
        "error": None,
    }
    assert known["files"][4]["error"] == "No such file or directory"


@pytest.mark.parametrize(
    "command", [command.callback.__name__ for command in app.registered_commands if command.callback]
)
def test_help_has_an_example(command: str) -> None:
    shown = run(command, "--help").stdout
    assert f"  exactnorm {command} " in shown


def complete(shell: str, **words: str) -> str:
    environment = os.environ | {"_EXACTNORM_COMPLETE": f"complete_{shell}"} | words
    return subprocess.run([PROGRAM], env=environment, capture_output=True, text=True).stdout  # noqa: S603


def test_completion() -> None:
    assert complete("bash", COMP_WORDS="exactnorm me", COMP_CWORD="1") == "merge\n"
    assert complete("bash", COMP_WORDS="exactnorm compare --fail", COMP_CWORD="2") == "--fail-above\n"
    formats = complete("bash", COMP_WORDS="exactnorm export a.json --format ", COMP_CWORD="4")
    assert formats.split() == ["onnx", "keras", "c", "sql", "json"]
    assert '"subtract":' in complete("zsh", _TYPER_COMPLETE_ARGS="exactnorm su")
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": "exactnorm dig"}
    assert complete("fish", **fish).startswith("digest\t")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [PROGRAM, "--show-completion", shell]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_EXACTNORM_COMPLETE=complete_{shell}" in done.stdout


def test_bash_completes_with_the_script() -> None:
    script = (
        'eval "$(exactnorm --show-completion bash)"; complete -p exactnorm; '
        "COMP_WORDS=(exactnorm sub); COMP_CWORD=1; _exactnorm_completion exactnorm; echo ${COMPREPLY[@]}"
    )
    environment = os.environ | {
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}",
    }
    command = ["bash", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603
    assert done.stdout == "complete -o default -F _exactnorm_completion exactnorm\nsubtract\n"

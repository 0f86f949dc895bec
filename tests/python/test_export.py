"""exactnorm export, and the formats that are neither C nor SQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import exactnorm as en
import numpy as np
import onnxruntime
import pytest
from exactnorm.cli._app import app
from exactnorm.export import to_c, to_json, to_sql
from support import assert_same_bits
from typer.testing import CliRunner

DATA = {"a": [1.0, 2.0, 4.0], "b": [0.1, 0.1, 0.1], "c": [-1e10, 1e10, 7.0]}
X = np.array([[1.5, 0.1, 3.0], [np.nan, 1.0, -np.inf]])
MAIN = "from exactnorm.cli import main; main()"
EXPORT = """
import os, shlex, sys
os.environ.pop("KERAS_BACKEND", None)
from typer.testing import CliRunner
from exactnorm.cli._app import app
for options in sys.argv[1:]:
    command = ["export", "stats.json", "-f", "keras", *shlex.split(options)]
    assert CliRunner().invoke(app, command).exit_code == 0
"""
WITHOUT_EXACTNORM = """
import sys, keras, numpy as np
for name in sys.argv[1:]:
    model = keras.models.load_model(name + ".keras")
    assert type(model.layers[0]) is keras.layers.Normalization
    np.save(name + ".npy", model(np.load("x.npy").astype(model.layers[0].dtype)))
assert not any(name.startswith("exactnorm") for name in sys.modules)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    en.Moments.from_data(DATA).save("stats.json")
    en.GroupedMoments.from_data(DATA | {"k": ["x", "y", "x"]}, keys="k").save("groups.json")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["export", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str, status: int = 1) -> str:
    Path("out").write_text("as before")
    result = CliRunner().invoke(app, ["export", *arguments, "-o", "out"])
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert Path("out").read_text() == "as before"
    assert len(list(Path().glob(".exactnorm*"))) == 0
    return " ".join(result.stderr.replace("│", " ").split())


def a_layer(**options: object) -> en.Normalization:
    layer = en.Normalization(**options)
    layer.adapt(en.load("stats.json"))
    return layer


def test_json_says_what_the_layer_computes_with() -> None:
    layer = en.Normalization(dtype="float64", nan_policy="omit", constant_policy="unit")
    layer.adapt(np.array([[0.1, 5.0, 5e-324], [0.2, 5.0, 0.0], [np.nan, 5.0, 0.0]]))
    text = to_json(layer)
    known = json.loads(text)
    assert {key: known[key] for key in ("format", "version", "dtype", "invert", "axes", "rank", "shape")} == {
        "format": "exactnorm.export",
        "version": 1,
        "dtype": "float64",
        "invert": False,
        "axes": [1],
        "rank": 2,
        "shape": [3],
    }
    assert (known["names"], known["digest"]) == (None, layer.moments.digest)
    assert known["count"] == [2, 3, 3]
    for wide, numbers in ((True, known), (False, known["float32"])):
        for key, values in zip(("mean", "variance", "divisor"), layer._impl.statistics(wide), strict=True):
            assert_same_bits(np.array(numbers[key], values.dtype), values.ravel())
    assert known["std"] == np.sqrt(layer.variance).ravel().tolist()
    assert known["divisor"][1] == 1
    narrow = layer._impl.statistics(False)[0].ravel().tolist()
    assert f'"float32": {{"mean": [{np.float32(narrow[0])!s}, 5.0, ' in text  # the fewest digits


def test_json_has_no_numbers_that_json_lacks() -> None:
    layer = en.Normalization(mean=[np.nan, -np.inf, np.inf], variance=[1.0, 0.0, np.inf], epsilon=0)
    layer.build((None, 3))
    known = json.loads(to_json(layer), parse_constant=pytest.fail)
    assert known["mean"] == [None, "-inf", "inf"]
    assert known["divisor"] == [1.0, 0.0, "inf"]
    assert (known["count"], known["digest"]) == (None, None)


def test_what_the_command_writes_is_what_the_functions_return() -> None:
    layer = a_layer(dtype="float64", constant_policy="unit", epsilon=0.5)
    options = ["--dtype", "float64", "--constant-policy", "unit", "--epsilon", "0.5"]
    run("stats.json", "-f", "c", "-o", "o.h", "--name", "n", *options)
    assert Path("o.h").read_text() == to_c(layer, "n")
    run("stats.json", "-f", "json", "-o", "o.json", *options)
    assert Path("o.json").read_text() == to_json(layer)
    query = run(
        "stats.json",
        "-f",
        "sql",
        "-o",
        "-",
        "--table",
        'x."y.z"',
        "--columns",
        "b,a",
        "--keep",
        "id",
        *options,
    )
    assert query == to_sql(layer, ("x", "y.z"), ["b", "a"], keep=["id"]) + "\n"


def test_sql_goes_back() -> None:
    run("stats.json", "-f", "sql", "-o", "back.sql", "--inverse", "--dtype", "float64", "--columns", "a")
    expected = a_layer(dtype="float64").inverse(np.array([[1.5, 0, 0]]))[0, 0]
    connection = duckdb.connect()
    connection.sql("CREATE TABLE data AS SELECT 1.5e0 AS a")
    assert connection.sql(Path("back.sql").read_text()).fetchall() == [(expected,)]


def test_onnx() -> None:
    for options, layer in (
        ([], a_layer()),
        (["--inverse"], a_layer(invert=True)),
        (["--dtype", "float64"], a_layer(dtype="float64")),
    ):
        run("stats.json", "-f", "onnx", "-o", "m.onnx", "--input-dtype", "float64", *options)
        session = onnxruntime.InferenceSession("m.onnx")
        assert_same_bits(session.run(None, {"x": X})[0], layer(X))
    run("stats.json", "-f", "onnx", "-o", "m.onnx")
    x = X.astype(np.float32)
    assert_same_bits(onnxruntime.InferenceSession("m.onnx").run(None, {"x": x})[0], a_layer()(x))


def test_keras_loads_it_without_exactnorm() -> None:
    np.save("x.npy", X)
    options = [
        "-o plain.keras",
        "-o back.keras --inverse --constant-policy unit",
        "-o wide.keras --dtype float64",
    ]
    subprocess.run([sys.executable, "-c", EXPORT, *options], check=True)  # noqa: S603
    loading = [sys.executable, "-c", WITHOUT_EXACTNORM, "plain", "back", "wide"]
    subprocess.run(loading, check=True, env=os.environ | {"KERAS_BACKEND": "tensorflow"})  # noqa: S603
    assert_same_bits(np.load("plain.npy"), a_layer()(X.astype(np.float32)))
    back = a_layer(invert=True, constant_policy="unit")
    assert_same_bits(np.load("back.npy"), back(X.astype(np.float32)))
    assert_same_bits(np.load("wide.npy"), a_layer(dtype="float64")(X))


def test_layers_keep_their_own_settings() -> None:
    layer = a_layer(epsilon=3.0, dtype="float64")
    layer.save("layer.json")
    assert run("layer.json", "-f", "c", "-o", "-") == to_c(layer)
    changed = a_layer(epsilon=3.0, dtype="float32")
    assert run("layer.json", "-f", "c", "-o", "-", "--dtype", "float32") == to_c(changed)
    given = en.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.0])
    given.build((None, 2))
    given.save("given.json")
    wide = en.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.0], dtype="float64")
    wide.build((None, 2))
    assert run("given.json", "-f", "json", "-o", "-", "--dtype", "float64") == to_json(wide)


def test_shapes() -> None:
    for shape in ((), (2, 3)):
        rank = len(shape)
        moments = en.Moments.from_data(
            np.random.default_rng(0).normal(size=(5, *shape)), axis=range(1, rank + 1)
        )
        moments.save("shaped.json")
        known = json.loads(run("shaped.json", "-f", "json", "-o", "-"))
        assert known["shape"] == list(shape)
        assert known["mean"] == moments.mean().ravel().tolist()


def test_groups_are_chosen() -> None:
    groups = en.load("groups.json")
    assert isinstance(groups, en.GroupedMoments)
    for options, moments in ((["--key", "x"], groups["x"]), (["--total"], groups.total())):
        assert json.loads(run("groups.json", "-f", "json", "-o", "-", *options))["digest"] == moments.digest
    assert "groups.json: choose one of 2 groups with --key" in refused("groups.json", "-f", "c")
    assert "groups.json: no key 'z': its keys are x, y" in refused("groups.json", "-f", "c", "--key", "z")
    assert "stats.json: expected groups to choose from, got Moments" in refused(
        "stats.json", "-f", "c", "--total"
    )


def test_refusals_name_the_file() -> None:
    en.Moments.from_data([[1.0], [2.0]]).save("nameless.json")
    assert "nameless.json: the layer has learned no names" in refused("nameless.json", "-f", "sql")
    assert "stats.json: constant_policy is 'raise'" in refused(
        "stats.json", "-f", "c", "--constant-policy", "raise"
    )
    assert "stats.json: expected a name of letters" in refused("stats.json", "-f", "c", "--name", "a b")
    assert "stats.json: the layer has not learned a column 'z'" in refused(
        "stats.json", "-f", "sql", "--columns", "z"
    )
    assert "none.json" in refused("none.json", "-f", "json")
    en.Normalization().save("new.json")
    assert "new.json: the layer is not built" in refused("new.json", "-f", "json")
    en.Moments(names=["a"], shape=1).save("empty.json")
    assert "empty.json: " in refused("empty.json", "-f", "json")


def test_an_option_of_another_format_is_refused() -> None:
    for form, option in (("sql", "--name"), ("c", "--table"), ("json", "--columns"), ("c", "--keep")):
        said = refused("stats.json", "-f", form, option, "x", status=2)
        assert option in said
        assert "goes with --format" in said
    assert "goes with --format onnx, not with keras" in refused(
        "stats.json", "-f", "keras", "--input-dtype", "int8", status=2
    )
    assert "goes with --format onnx or keras or sql, not with c" in refused(
        "stats.json", "-f", "c", "--inverse", status=2
    )


@pytest.mark.parametrize(
    ("package", "form", "said"),
    [
        ("onnx", "onnx", "exactnorm.onnx needs onnx: pip install 'exactnorm[onnx]'"),
        ("keras", "keras", "exactnorm.export.to_keras needs keras: pip install 'exactnorm[keras]'"),
        ("pyarrow", "c", "the command line needs pyarrow: pip install 'exactnorm[cli]'"),
    ],
)
def test_a_missing_package_is_named(package: str, form: str, said: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; {MAIN}"
    command = [sys.executable, "-c", code, "export", "stats.json", "-f", form, "-o", "out"]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    assert (done.returncode, done.stderr) == (1, f"exactnorm: {said}\n")
    assert not Path("out").exists()

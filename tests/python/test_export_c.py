"""The C header that exactnorm.export writes: the bits of the layer, from every compiler."""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
import warnings
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from exactnorm.export import to_c
from support import NDArray, assert_same_bits, finite_values

X86 = platform.machine() == "x86_64"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
PLAIN = ["-O0"]
FAST = ["-O3", "-march=native", "-ffp-contract=fast", *(["-mfma"] if X86 else [])]
BUILDS = {
    "gcc, C99": ["gcc", "-std=c99", *PLAIN],
    "gcc, GNU C17, fast": ["gcc", "-std=gnu17", *FAST],
    "g++, C++17": ["g++", "-std=c++17", *PLAIN],
    "g++, GNU C++20, fast": ["g++", "-std=gnu++20", *FAST],
    "clang, C99": ["clang-14", "-std=c99", *PLAIN],
    "clang, GNU C17, fast": ["clang-14", "-std=gnu17", *FAST],
    "clang++, C++17": ["clang++-14", "-std=c++17", *PLAIN],
    "clang++, GNU C++20, fast": ["clang++-14", "-std=gnu++20", *FAST],
}
FMA = re.compile(r"\bvfm(add|sub)|\bfn?m(add|sub)\b|\bfml[as]\b")
TYPES = {"float32": "float", "float64": "double"}


def adapted(data: Any, **options: Any) -> en.Normalization:
    layer = en.Normalization(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # data are meant to be hard
        layer.adapt(data)
    return layer


def hard_columns(rows: int = 40, columns: int = 70) -> NDArray:
    """Columns of every scale, subnormal to nearly infinite, with constant ones, a NaN, and an infinity."""
    rng = np.random.default_rng(0)
    scale = 10.0 ** np.linspace(-44, 38, columns)
    with np.errstate(over="ignore", under="ignore"):
        x = (scale * (rng.normal(size=(rows, columns)) + rng.integers(-3, 4, columns))).astype(np.float32)
    x[~np.isfinite(x)] = 3e38
    x[:, 5], x[:, 40] = 0.1, 0
    x[0, 50], x[0, 51] = np.nan, -np.inf
    return x


LAYERS = {
    "wide": adapted(hard_columns()),
    "unit": adapted(hard_columns(), constant_policy="unit", nan_policy="omit", inf_policy="omit"),
    "usual": adapted(np.random.default_rng(1).normal(1e4, 3, (100, 5))),
    "bigger": adapted(hard_columns().astype(np.float64) * 1e200, dtype="float64"),
    "single": adapted(np.arange(10.0), axis=None),
    "grid": adapted(np.random.default_rng(2).normal(size=(9, 2, 3)), axis=(1, 2)),
    "given": en.Normalization(mean=[0.1, -np.inf, 1.0], variance=[0.3, 0.0, np.inf]),
}
LAYERS["given"].build((None, 3))


def inputs(dtype: str, size: int) -> NDArray:
    """Ordinary numbers, numbers of every exponent, and all that is special, in rows of that size."""
    rng = np.random.default_rng(3)
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]
    x = np.concatenate(
        [
            rng.normal(1e4, 10, (300, size)).astype(dtype),
            finite_values(dtype, (300, size), seed=4),
            rng.choice(np.array(special, dtype), (100, size)),
        ]
    )
    return np.ascontiguousarray(x)


def source() -> str:
    """All headers in one file, some of them twice, and functions that a library shows."""
    parts = [f'#include "{name}.h"\n' for name in (*LAYERS, "wide")]
    parts.append('#ifdef __cplusplus\n#define API extern "C"\n#else\n#define API\n#endif\n')
    for name, layer in LAYERS.items():
        target = TYPES[layer._impl.dtype]
        for what in ("normalize", "inverse"):
            for given, suffix in (("float", ""), ("double", "_f64")):
                arguments = f"const {given}* in, {target}* out, size_t rows"
                declared = f"API void run_{name}_{what}{suffix}({arguments})"
                parts.append(f"{declared};\n{declared} {{ {name}_{what}{suffix}(in, out, rows); }}\n")
    return "".join(parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    for name, layer in LAYERS.items():
        (folder / f"{name}.h").write_text(to_c(layer, name), encoding="utf-8")
    for language in ("c", "cpp"):
        (folder / f"all.{language}").write_text(source())
    return folder


def compiled(
    folder: Path, build: list[str], *options: str, file: str = "all"
) -> subprocess.CompletedProcess[str]:
    language = "cpp" if "++" in build[0] else "c"
    command = [*build, *STRICT, *options, f"{file}.{language}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: S603


@pytest.mark.parametrize("build", BUILDS)
def test_bits(folder: Path, build: str) -> None:
    path = folder / f"{build.replace(' ', '')}.so"
    done = compiled(folder, BUILDS[build], "-shared", "-fPIC", "-o", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    library = ctypes.CDLL(str(path))
    for name, layer in LAYERS.items():
        size = layer.mean.size
        for dtype, suffix in (("float32", ""), ("float64", "_f64")):
            x = inputs(dtype, size)
            shaped = x.ravel() if name == "single" else x.reshape(len(x), *layer.mean.shape[1:])
            for what, call in (("normalize", layer), ("inverse", layer.inverse)):
                expected = call(shaped).reshape(x.shape)
                out = np.empty_like(expected)
                function = library[f"run_{name}_{what}{suffix}"]
                function(x.ctypes, out.ctypes, ctypes.c_size_t(len(x)))
                assert_same_bits(out, expected)
                if x.dtype == out.dtype:
                    same = x.copy()
                    function(same.ctypes, same.ctypes, ctypes.c_size_t(len(x)))
                    assert_same_bits(same, expected)


@pytest.mark.parametrize("build", [build for build in BUILDS if "fast" in build])
def test_nothing_is_contracted(folder: Path, build: str) -> None:
    """The compilers would make an fma of it, and the header does not let them."""
    text = to_c(LAYERS["usual"], "usual")
    barrier = '__asm__ __volatile__("" : : "r"(product) : "memory")'
    assert text.count(barrier) == 1
    found = []
    for header in (text, text.replace(barrier, "")):
        (folder / "tried.h").write_text(header)
        for language in ("c", "cpp"):
            (folder / f"one.{language}").write_text(
                '#include "tried.h"\nvoid run(const float* in, float* out, size_t rows);\n'
                "void run(const float* in, float* out, size_t rows) { usual_inverse(in, out, rows); }\n"
            )
        done = compiled(folder, BUILDS[build], "-S", "-o", "one.s", file="one")
        assert (done.returncode, done.stderr) == (0, "")
        found.append(bool(FMA.search((folder / "one.s").read_text())))
    assert found == [False, True]


@pytest.mark.parametrize("compiler", ["gcc", "clang-14"])
@pytest.mark.parametrize("option", ["-ffast-math", "-ffinite-math-only"])
def test_fast_math_is_refused(folder: Path, compiler: str, option: str) -> None:
    done = compiled(folder, [compiler, "-O2", option], "-fsyntax-only")
    assert done.returncode != 0
    assert "without -ffast-math" in done.stderr


def test_what_the_header_says() -> None:
    layer = adapted({"a": [1.0, 3.0], 'odd "*/\n\\?é': [0.1, 0.2]})
    text = to_c(layer, "Flights_1")
    assert f'#define FLIGHTS_1_DIGEST "{layer.moments.digest}"\n' in text
    assert "#define FLIGHTS_1_FEATURES 2\n" in text
    assert '  "a",\n  "odd \\042*/\\012\\134\\077\\303\\251",\n' in text
    assert "mean32[FLIGHTS_1_FEATURES] = {\n  0x1p+1f, /* a */\n  0x1.333334p-3f, /* odd " in text
    assert '/* odd "* / \\?é */' in text
    assert "names[" not in to_c(LAYERS["usual"])
    assert '#define EXACTNORM_DIGEST ""' in to_c(LAYERS["given"])


def test_odd_names_compile(tmp_path: Path) -> None:
    layer = adapted({'odd "*/\n\\?é%s{x}': [0.1, 0.2], "/*": [1.0, 2.0], "\u202e\u2066b": [1.0, 3.0]})
    (tmp_path / "all.cpp").write_text(to_c(layer) + "const char* const* first = exactnorm_names;\n")
    done = compiled(tmp_path, ["g++", "-std=c++17"], "-fsyntax-only")
    assert (done.returncode, done.stderr) == (0, "")


def test_refusals() -> None:
    for name in ("", "1x", "a-b", "_x", "é", "a\n"):
        with pytest.raises(ValueError, match="expected a name of letters"):
            to_c(LAYERS["usual"], name)
    first = adapted(np.zeros((2, 3, 4)) + np.arange(4), axis=1)
    with pytest.raises(ValueError, match=r"C takes rows of features: .* keeps \(1,\) of 3"):
        to_c(first)
    with pytest.raises(ValueError, match="C has no type for the layer's bfloat16"):
        to_c(adapted([[1.0], [2.0]], dtype="bfloat16"))
    with pytest.raises(RuntimeError, match="not built"):
        to_c(en.Normalization())
    with pytest.raises(TypeError, match="expected an exactnorm"):
        to_c(en.Moments())

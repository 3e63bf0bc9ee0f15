"""Compares the ctypes side of the ABI with `flashsampling.h` as the C compiler reads it: no GPU, no PyTorch."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

PYTHON_FOLDER = Path(__file__).resolve().parents[1]
INCLUDE_FOLDER = PYTHON_FOLDER.parent / "include"
sys.path.insert(0, str(PYTHON_FOLDER))

from flashsampling_cuda import library  # noqa: E402

# Of macros and enumerators.
PREFIX = "FLASHSAMPLING_"
HEADER = (INCLUDE_FOLDER / "flashsampling.h").read_text()
COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def compile_and_run(program: str) -> dict[str, int]:
    """Runs a C program that prints `name value` lines."""
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "probe.c"), Path(folder, "probe")
        source.write_text(program)
        command = [COMPILER, "-std=c11", "-Wall", "-Werror", "-I", str(INCLUDE_FOLDER), str(source), "-o", str(binary)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        lines = subprocess.run([str(binary)], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}


def program_of(expressions: list[str]) -> str:
    prints = "\n".join(f'  printf("%s %lld\\n", "{e.replace(" ", "")}", (long long)({e}));' for e in expressions)
    return f"#include <stdio.h>\n#include <flashsampling.h>\nint main(void) {{\n{prints}\n  return 0;\n}}\n"


@unittest.skipIf(COMPILER is None, "no C compiler")
class StructLayout(unittest.TestCase):
    def test_every_field_lies_where_the_compiler_puts_it(self) -> None:
        expressions = []
        expected = {}
        for name, struct in library.STRUCTS.items():
            expressions.append(f"sizeof({name})")
            expected[expressions[-1]] = ctypes.sizeof(struct)
            for field, _ in struct._fields_:
                expressions.append(f"offsetof({name},{field})")
                expected[expressions[-1]] = getattr(struct, field).offset
                expressions.append(f"sizeof((({name}*)0)->{field})")
                expected[expressions[-1]] = getattr(struct, field).size
        self.assertEqual(compile_and_run(program_of(expressions)), expected)

    def test_enums_have_the_values_of_the_header(self) -> None:
        expected = {name: value for value, name in enumerate(library.STATUS_NAMES)}
        for prefix, codes in (
            ("DTYPE", library.DTYPES),
            ("NOISE", library.NOISE_SCHEMES),
            ("KERNEL", library.KERNELS),
            ("LOGPROBS", library.LOGPROBS_MODES),
            ("TOKEN_ID", library.TOKEN_ID_TYPES),
        ):
            expected.update({f"{PREFIX}{prefix}_{name.upper()}": code for name, code in codes.items()})
        for name in ("ROW_OK", "ROW_INVALID_LOGITS", "ROW_ALL_TOKENS_MASKED", "ROW_INVALID_PARAMETERS"):
            expected[f"{PREFIX}{name}"] = getattr(library, name)
        expected[f"{PREFIX}ABI_VERSION"] = library.ABI_VERSION
        self.assertEqual(compile_and_run(program_of(list(expected))), expected)


class Header(unittest.TestCase):
    def test_every_struct_and_field_of_the_header_is_declared_in_order(self) -> None:
        text = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
        found = {}
        for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", text, flags=re.DOTALL):
            found[name] = [
                re.search(r"(\w+)(\[\d+\])?$", line.strip()).group(1) for line in body.split(";") if line.strip()
            ]
        declared = {name: [field for field, _ in struct._fields_] for name, struct in library.STRUCTS.items()}
        self.assertEqual(found, declared)

    def test_every_status_of_the_header_has_a_name(self) -> None:
        body = re.search(r"typedef enum flashsampling_status \{(.*?)\}", HEADER, flags=re.DOTALL).group(1)
        self.assertEqual(tuple(re.findall(PREFIX + r"\w+(?= = )", body)), library.STATUS_NAMES)

    def test_declared_functions_stand_in_the_header(self) -> None:
        exported = set(re.findall(PREFIX + r"API [\w ]+\*? ?\n? *(flashsampling_\w+)\(", HEADER))
        exported |= set(re.findall(r"^\s+(flashsampling_\w+)\($", HEADER, flags=re.MULTILINE))
        self.assertLessEqual(set(library._FUNCTIONS), exported)


class LibraryPath(unittest.TestCase):
    def test_names_the_library_for_a_file_a_folder_and_a_file_beside_it(self) -> None:
        for given, expected in (
            ("/x/other.so", "/x/other.so"),
            ("/x/flashsampling.node", "/x/libflashsampling.so"),
            (str(INCLUDE_FOLDER), str(INCLUDE_FOLDER / "libflashsampling.so")),
        ):
            with mock.patch.dict(os.environ, {library.LIBRARY_VARIABLE: given}):
                self.assertEqual(str(library.library_path()), expected)

    def test_defaults_to_the_prebuilt_library(self) -> None:
        with mock.patch.dict(os.environ):
            os.environ.pop(library.LIBRARY_VARIABLE, None)
            path = library.library_path()
        self.assertEqual(path.name, "libflashsampling.so")
        self.assertEqual(path.parents[1], PYTHON_FOLDER.parent / "prebuilds")

    def test_a_missing_library_says_what_was_looked_for(self) -> None:
        environment = {library.LIBRARY_VARIABLE: "/nowhere/libflashsampling.so"}
        with (
            mock.patch.dict(os.environ, environment),
            mock.patch.object(library, "_library", None),
            self.assertRaisesRegex(library.LibraryUnavailableError, '"/nowhere/libflashsampling.so" does not exist'),
        ):
            library.load_library()

    def test_a_file_that_is_no_library_is_named(self) -> None:
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            file.write(b"text")
            file.flush()
            with (
                mock.patch.dict(os.environ, {library.LIBRARY_VARIABLE: file.name}),
                mock.patch.object(library, "_library", None),
                self.assertRaisesRegex(library.LibraryUnavailableError, re.escape(file.name)),
            ):
                library.load_library()


@unittest.skipUnless(library.library_path().is_file(), "libflashsampling.so is not built")
class BuiltLibrary(unittest.TestCase):
    def test_has_the_version_and_the_functions_of_the_header(self) -> None:
        loaded = library.load_library()
        self.assertEqual(loaded.flashsampling_abi_version(), library.ABI_VERSION)
        self.assertRegex(library.version(), r"^\d+\.\d+\.\d+")

    def test_names_every_status_like_the_binding(self) -> None:
        loaded = library.load_library()
        names = tuple(loaded.flashsampling_status_name(status).decode() for status in range(len(library.STATUS_NAMES)))
        self.assertEqual(names, library.STATUS_NAMES)

    def test_a_refused_call_raises_with_the_text_of_the_library(self) -> None:
        # A context that was never created is refused with and without a GPU.
        status = library.load_library().flashsampling_sample(ctypes.c_void_p(64), None, None)
        self.assertEqual(status, library.INVALID_ARGUMENT)
        with self.assertRaisesRegex(library.FlashSamplingError, f"{PREFIX}INVALID_ARGUMENT") as raised:
            library.check("flashsampling_sample", status)
        self.assertGreater(len(library.last_error()), 20)
        self.assertIn(library.last_error(), str(raised.exception))


if __name__ == "__main__":
    unittest.main()

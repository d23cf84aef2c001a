"""The table in docs/conformance.md is that of the conformance tests. `python tests/interop/test_table.py` writes it anew."""

import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs/conformance.md"
BEGIN, END = "<!-- rules -->\n", "<!-- end of rules -->\n"
WAYS = {("whip", "whep"): "both", ("whip",): "WHIP", ("whep",): "WHEP"}


def table() -> str:
    """One line per rule, in the order of the tests."""
    import test_conformance

    tests = [test for name, test in vars(test_conformance).items() if name.startswith("test_")]
    assert all(hasattr(test, "rule") for test in tests), "every test there is of a rule"
    rows = ["| section | for | status | rule | test |", "|---|---|---|---|---|"]
    for test in tests:
        section, status, words, ways = test.rule
        rows.append(f"| {section} | {WAYS[ways]} | {status} | {words} | `{test.__name__}` |")
    return "\n".join(rows) + "\n"


def test_the_document_lists_the_conformance_tests() -> None:
    written = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]
    assert written == table(), "run: python tests/interop/test_table.py"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    before, rest = DOCUMENT.read_text().split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table() + END + rest.split(END)[1])

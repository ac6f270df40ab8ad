"""Formulas in the text of a notebook as MathML, which browsers show without a program."""

import re

_FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|\$\$(?P<block>.+?)\$\$"
    r"|(?<![\\\w$])\$(?=[^\s$])(?P<inline>[^$\n]*?[^\s$\\])\$(?![\w$])",
    re.DOTALL,
)


def with_mathml(markdown: str) -> str:
    """The text with `$...$` and `$$...$$` as MathML; code, and a lone dollar, stay as they are."""
    return _FORMULA.sub(_converted, markdown)


def _converted(found: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    if found["code"]:
        return found[0]
    if found["block"]:
        return str(convert(found["block"].strip(), display="block"))
    return str(convert(found["inline"]))

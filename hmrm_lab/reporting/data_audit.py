"""The audit of a data set as text for a terminal and as a page of HTML."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hmrm_lab.datasets.audit import Audit, Counts, by_kind
from hmrm_lab.datasets.recordings.findings import KINDS, shown
from hmrm_lab.reporting.pages import render_page
from hmrm_lab.runtime.store import write_atomic

SHOWN_PER_KIND = 5  # on a terminal; the page and --json have them all
Cells = Sequence[str]


def audit_text(audit: Audit) -> str:
    """The verdict, the counts, and the first findings of each kind."""
    blocks = [
        f"{audit.facts.title} in {shown(audit.survey.root)}\n{audit.verdict}",
        _align(class_rows(audit)),
        _align(subject_rows(audit)),
    ]
    for kind, found in by_kind(audit.findings).items():
        lines = [f"  {one}" for one in found[:SHOWN_PER_KIND]]
        more = len(found) - len(lines)
        lines += [f"  ... and {more} more (--json or --html lists all)"] if more else []
        blocks.append("\n".join([f"{KINDS[kind]}: {len(found)}", *lines]))
    return "\n\n".join([*blocks, "\n".join(closing(audit))])


def write_audit_page(audit: Audit, file: Path) -> Path:
    """Write the audit as one page that needs no network."""
    page = render_page(
        "data_audit.html.j2",
        title=audit.facts.title,
        root=shown(audit.survey.root),
        verdict=audit.verdict,
        complete=audit.complete,
        tables=[class_rows(audit), subject_rows(audit)],
        findings=by_kind(audit.findings),
        kinds=KINDS,
        closing=closing(audit),
    )
    write_atomic(file, page + "\n")
    return file


def class_rows(audit: Audit) -> list[Cells]:
    """Clips of each class, found and expected; the header first."""
    counts = audit.facts.counts
    rows: list[Cells] = [("class", "usable", "expected")]
    for label, name in enumerate(audit.classes):
        rows.append((name, str(audit.found[label]), str(counts[label]) if counts else "-"))
    total = str(sum(counts)) if counts else "-"
    return [*rows, ("all", str(len(audit.clips)), total)]


def subject_rows(audit: Audit) -> list[Cells]:
    """Clips of each subject, by class in their order; the header first."""
    rows: list[Cells] = [(f"subject ({'/'.join(audit.classes)})", "usable", "expected")]
    for one in audit.subjects:
        expected = _slashed(one.expected) if one.expected else "-"
        mark = " !" if one.expected and one.expected != one.found else ""
        rows.append((shown(f"{one.dataset}/{one.subject}"), _slashed(one.found), expected + mark))
    return rows


def closing(audit: Audit) -> list[str]:
    """What was read, and where the data come from."""
    facts, survey = audit.facts, audit.survey
    others = ", ".join(f"{name} {count}" for name, count in sorted(survey.other_classes.items()))
    listed = f" of {facts.listed}" if facts.listed else ""
    depth = "decoded" if audit.deep else "looked at by header and end (--deep decodes them)"
    return [
        f"listed     {survey.rows}{listed} in {shown(survey.coding or survey.root)}",
        *([f"not used   {shown(others)}"] if others else []),
        f"frames     {audit.frames} {depth}",
        f"request    {facts.request}",
    ]


def _slashed(counts: Counts) -> str:
    return "/".join(map(str, counts))


def _align(rows: Iterable[Cells]) -> str:
    """Columns under each other, the first to the left."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])

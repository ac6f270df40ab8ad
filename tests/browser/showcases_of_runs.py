"""Widgets that show runs, and start them."""

from steps import Showcase, choose, click, press

RUNS = {
    "PredictionBrowser": Showcase(
        "PredictionBrowser(Result(made), maps)",
        {
            "answers by key": (
                press("listbox", "Answer", "Home", "held-out fold", draws=False),
                press("listbox", "Answer", "ArrowDown", "held-out fold"),
                press("listbox", "Answer", "End", "held-out fold"),
            ),
            "filters": (
                choose("Answers", "any", "30 of 30 answers", draws=False),
                choose("Answers", "wrong", " 0 right"),
                choose("Data set", "other", " 0 right", draws=False),
                choose("Subject", "other/s02", " 0 right", draws=False),
                choose("Subject", "any", draws=False),
                choose("Data set", "any", draws=False),
                choose("Answers", "any", "30 of 30 answers", draws=False),
            ),
            "displays by click": (
                click("button", "Strain", "Yellow is a strain", draws=False),
                click("button", "Arrows", "longest arrow"),
                click("button", "Colour wheel", "Full saturation"),
            ),
        },
    ),
    "AblationBoard": Showcase(
        "AblationBoard('hmrm', lab.load('synthetic', preset='smoke'), out=out)",
        {
            "switches by key": (
                choose("Flow", "dis", draws=False),
                press("slider", "MotionMix share", "Home", "MotionMix 0", draws=False),
                press("slider", "MotionMix share", "ArrowRight", "MotionMix 0.1", draws=False),
                press("combobox", "Width", "End", "width 384", draws=False),
                press("combobox", "Width", "Home", draws=False),
                press("combobox", "Width", "ArrowDown", "width 32", draws=False),
                press("combobox", "Depth", "End", "depth 12", draws=False),
            ),
            "fusion by click": (
                choose("Depth", "12", "depth 12", draws=False),
                click("button", "none", "fusion none", draws=False),
                click("button", "attention", draws=False),
            ),
        },
    ),
    "LosoMonitor": Showcase(
        "LosoMonitor(Result(RunFolder.of(quick, out / 'watched'), config=quick))",
        {
            "a run from start to end": (click("button", "Start", "Complete: 2 of 2 folds"),),
        },
    ),
    "HeatmapExplorer": Showcase(
        "HeatmapExplorer(swept(out))",
        {
            "cells by slider": (
                press("slider", "Depth", "Home", "Depth 1, Width", draws=False),
                press("slider", "Width", "Home", "Depth 1, Width 8: UF1", draws=False),
                press("slider", "Width", "End", "Depth 1, Width 16: UF1"),
                press("slider", "Depth", "End", "Depth 2, Width 16: not done yet"),
            ),
        },
    ),
    "SearchMonitor": Showcase(
        "SearchMonitor(searched(out))",
        {
            "fittest by key": (
                press("slider", "Fittest drawn", "Home", "the winner", draws=False),
                press("slider", "Fittest drawn", "End", "the winner"),
                press("slider", "Fittest drawn", "Home", "the winner"),
            ),
            "the search to its end": (
                click("button", "Start the search", "8 of 8 trials, complete"),
            ),
        },
    ),
}

"""The leaderboard's own checker, imported without its thirty dependencies: two stubs stand in for what pulls them in.

`pip install --no-deps bfcl-eval` into the environment, or into a folder that TWAINBOT_BFCL names. Its pins (an old numpy
among them) cannot be met beside this project's, so it is in no extra; without it the tests skip and say so.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

STUBS = {
    "bfcl_eval.constants.model_config": "MODEL_CONFIG_MAPPING",
    "bfcl_eval.eval_checker.ast_eval.type_convertor.java_type_converter": "java_type_converter",
    "bfcl_eval.eval_checker.ast_eval.type_convertor.js_type_converter": "js_type_converter",
}
Check = Callable[[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]], str], dict[str, Any]]


class _AnyModel(dict[str, Any]):
    """Every model keeps the dots in its tool names, which is the one setting that the checker asks for."""

    def __missing__(self, name: str) -> Any:
        return types.SimpleNamespace(underscore_to_dot=False)


@cache
def checker() -> Check:
    """`check(functions, calls, ground truth, category)`; skips the test where the package is absent."""
    if (folder := os.environ.get("TWAINBOT_BFCL")) and folder not in sys.path:
        sys.path.append(folder)
    if find_spec("bfcl_eval") is None:
        pytest.skip("bfcl-eval is not here: pip install --no-deps bfcl-eval, or name its folder in TWAINBOT_BFCL")
    for module, name in STUBS.items():
        stub = types.ModuleType(module)
        setattr(stub, name, _AnyModel())
        sys.modules[module] = stub
    ast_checker = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker").ast_checker
    language = importlib.import_module("bfcl_eval.constants.enums").Language.PYTHON

    def check(functions: list[dict[str, Any]], calls: list[dict[str, Any]], gold: Any, category: str) -> dict[str, Any]:
        sent = [{call["name"]: call["arguments"]} for call in calls]
        return dict(ast_checker(functions, sent, gold, language, category, "any"))

    return check

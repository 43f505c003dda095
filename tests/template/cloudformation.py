"""template.yaml, read without SAM: its tags become functions, and with parameters given it is resolved.

What only a deployed stack knows stays as text: ``${Queue.Arn}`` for an attribute, ``${import:name}`` for another
stack's export.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parents[2] / "template.yaml"
PSEUDO = {
    "AWS::Partition": "aws-cn",
    "AWS::Region": "cn-north-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "shop-sync",
    "AWS::URLSuffix": "amazonaws.com.cn",
}
_NO_VALUE = object()
_NAMED = re.compile(r"\$\{([^!}][^}]*)\}")


class _Loader(yaml.SafeLoader):
    """YAML with the tags of CloudFormation."""


def _tagged(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    name = tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1)} if tag == "GetAtt" else {name: value}
    construct = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return {name: construct(node, deep=True)}


_Loader.add_multi_constructor("!", _tagged)


def load(path: Path = PATH) -> dict[str, Any]:
    """A template as it is written."""
    return yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader with tags


class Stack:
    """The template as a stack with these parameters would be made of it."""

    def __init__(self, **parameters: str) -> None:
        self.template = load()
        declared = {name: str(told.get("Default", "")) for name, told in self.template["Parameters"].items()}
        assert parameters.keys() <= declared.keys()
        self.parameters = declared | parameters
        made = {name: told for name, told in self.template["Resources"].items() if self._is_made(told)}
        self.resources = {name: self._value(told) for name, told in made.items()}
        self.outputs = {
            name: self._value(told["Value"]) for name, told in self.template["Outputs"].items() if self._is_made(told)
        }

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Logical id → properties."""
        return {name: told["Properties"] for name, told in self.resources.items() if told["Type"] == kind}

    def properties(self, name: str) -> dict[str, Any]:
        return self.resources[name]["Properties"]

    def refused(self) -> list[str]:
        """Why the stack's Rules refuse these parameters."""
        asserted = [one for rule in self.template["Rules"].values() for one in rule["Assertions"]]
        return [one["AssertDescription"] for one in asserted if not self._holds(one["Assert"])]

    def _is_made(self, told: Mapping[str, Any]) -> bool:
        return "Condition" not in told or self._holds({"Condition": told["Condition"]})

    def _holds(self, rule: Any) -> bool:
        ((function, given),) = rule.items()
        match function:
            case "Condition":
                return self._holds(self.template["Conditions"][given])
            case "Fn::Equals":
                return self._value(given[0]) == self._value(given[1])
            case "Fn::Not":
                return not self._holds(given[0])
            case "Fn::Or":
                return any(self._holds(one) for one in given)
            case "Fn::And":
                return all(self._holds(one) for one in given)
        raise NotImplementedError(function)

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for one in value if (found := self._value(one)) is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, given),) = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, given)
        found = {key: self._value(one) for key, one in value.items()}
        return {key: one for key, one in found.items() if one is not _NO_VALUE}

    def _call(self, function: str, given: Any) -> Any:
        match function:
            case "Ref":
                return _NO_VALUE if given == "AWS::NoValue" else self._named(given)
            case "Fn::GetAtt":
                return self._named(".".join(given))
            case "Fn::If":
                return self._value(given[1] if self._holds({"Condition": given[0]}) else given[2])
            case "Fn::Sub":
                text, own = given if isinstance(given, list) else (given, {})
                own = {name: self._value(one) for name, one in own.items()}
                return _NAMED.sub(lambda found: str(own.get(found[1]) or self._named(found[1])), text)
            case "Fn::Join":
                return given[0].join(self._value(given[1]))
            case "Fn::ImportValue":
                return f"${{import:{self._value(given)}}}"
        raise NotImplementedError(function)

    def _named(self, name: str) -> str:
        return self.parameters.get(name) or PSEUDO.get(name) or ("" if name in self.parameters else f"${{{name}}}")


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys too."""
    if isinstance(value, str):
        yield value
    for below in (
        [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from texts(below)


def statements(policy_document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The statements of a policy, actions and resources always as lists."""
    for told in policy_document["Statement"]:
        many = {key: told[key] if isinstance(told[key], list) else [told[key]] for key in ("Action", "Resource")}
        yield {**told, **many}

"""template.yaml as CloudFormation sees it, on stdout: what the linter lets pass of a serverless function it names here.

Run by `make lint-template` with the Python of .tools/sam.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import Mock

from cfnlint.decode.cfn_yaml import load
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

REGION = "us-east-1"


def translated(path: str) -> dict[str, Any]:
    """The template with its serverless resources spelled out; code is taken to be uploaded already."""
    template = json.loads(json.dumps(load(path)))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    template["Globals"]["Function"].pop("CodeUri")
    parameters = {name: told.get("Default", "") for name, told in template["Parameters"].items()}
    session = Mock(region_name=REGION)
    return Translator({}, Parser(), boto_session=session).translate(template, parameters)


json.dump(translated(sys.argv[1]), sys.stdout, indent=1)

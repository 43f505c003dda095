"""The page about a run, one self-contained HTML text. Facts in, text out; `filing` alone touches a folder."""

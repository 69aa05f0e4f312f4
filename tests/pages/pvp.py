# ruff: noqa
"""Patterns as the users of PET write them; read by `templates import`, and never run."""


class ToolsPVP(PVP):  # noqa: F821
    VERBALIZER = {"good": ["useful"], "bad": ["useless"]}

    def get_parts(self, example):
        text = self.shortenable(example.text_a)
        if self.pattern_id == 0:
            return ["A", self.mask, "tool:", text], []
        elif self.pattern_id == 1:
            return [text, "This tool is", self.mask, "."], []

    def verbalize(self, label):
        return ToolsPVP.VERBALIZER[label]

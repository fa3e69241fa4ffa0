"""A bias test as the section of a model card, in Markdown."""

from __future__ import annotations

from assessment.render import DISCLAIMER, escaped, markdown, word
from assessment.result import BiasTestResult


def model_card(result: BiasTestResult) -> str:
    """Return the section: what was tested on what, by which policy, what was found, and what that does not mean."""
    version = f" version {result.model_version}" if result.model_version else ""
    data_set = f", data set {result.dataset}" if result.dataset else ""
    facts = {
        "Model": f"{result.model or 'unnamed model'}{version}",
        "Tested": f"{result.created_at:%Y-%m-%d}, test {result.test_id}",
        "Rows": f"{result.rows:,} ({result.source.value}){data_set}",
        "Favourable label": repr(result.favourable),
        "Protected attributes": ", ".join(attribute.attribute for attribute in result.attributes),
        "Verdict": word(result.verdict),
    }
    lines = ["## Fairness", "", *(f"- **{name}**: {escaped(value)}" for name, value in facts.items()), ""]
    lines += ["### Policy", ""]
    for tolerance in result.policy.tolerances:
        sign = "at least" if tolerance.metric.is_ratio else "at most"
        told = f"{tolerance.metric} on {tolerance.attribute}: {sign} {tolerance.limit:g}"
        if tolerance.required_groups:
            told += f", evidence required for {', '.join(tolerance.required_groups)}"
        lines.append(f"- {escaped(told)}" + ("" if tolerance.gating else " (shown only)"))
    if not result.policy.tolerances:
        lines.append("- none: everything is shown, nothing is judged")
    return "\n".join(lines) + f"\n\n### Findings\n\n{markdown(result)}\n{DISCLAIMER}\n"

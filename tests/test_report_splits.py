"""The page of several studies, one for each split: each has its own part, and no id is twice."""

import re
from dataclasses import replace
from html import unescape

from studies import study

from asrbench.report.answer import sentences
from asrbench.report.page import page
from asrbench.report.study import Study


def splits() -> tuple[Study, Study]:
    clean = replace(study(), split="eval_clean", title="eval_clean of invented")
    return clean, replace(study(), split="eval (other)", title="eval (other) of invented")


def test_ids_are_unique_and_every_link_of_the_page_leads_somewhere() -> None:
    for studies in (splits(), splits()[:1]):
        text = page(*studies)
        ids = re.findall(r'\sid="([^"]+)"', text)
        assert len(ids) == len(set(ids))
        named = re.findall(r'(?:href="#|aria-labelledby="|url\(#)([^")]+)', text)
        assert set(named) <= set(ids)
        assert len(re.findall('class="utterances"', text)) == len(studies)


def test_every_split_has_its_answer_its_sections_and_its_figures() -> None:
    clean, other = splits()
    text = page(clean, other)
    for each in (clean, other):
        assert f"<h1>{sentences(each)[0]}</h1>" in unescape(text)
        assert f"on {each.split} of invented" in text
        assert f"CER by variant, {each.split}" in text
    for section in ("study", "results", "verdicts", "figures", "where", "utterances", "records"):
        assert [f'href="#{place}-{section}"' in text for place in ("s1", "s2")] == [True] * 2
    assert "p-values are corrected (Holm) within a split" in text
    # Gradients are of the training and not of a split.
    assert text.count('id="s1-attention"') == 1
    assert 'id="s2-attention"' not in text


def test_a_page_of_one_study_names_no_split_twice() -> None:
    text = page(study())
    assert "within a split" not in text
    assert 'id="results"' in text
    assert 'id="s1-' not in text

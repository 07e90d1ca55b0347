"""Marks joined and split where the network reads the result better: segmentation by recognition.

Source: Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998, section V
(heuristic over-segmentation): cuts are proposed, and the classifier's scores choose among them.
"""

from collections.abc import Callable

from appliance.reader.decision import Candidate, digit_confidence
from appliance.reading import Answer
from appliance.vision.marks import (
    Mark,
    are_stacked,
    find_splits,
    join_marks,
    sort_in_reading_order,
    strongest_part,
)
from model.network import SURE

_JOINED = 0.85
"""Pieces of which one is no digit are joined where the whole is read with this confidence."""
_SPLIT = 0.98
"""Touching digits are split where each is read with this confidence: halves of letters look like
digits."""
_PART = 0.95
"""A part of a mark that is no digit is read alone with this confidence, or not at all."""

Classify = Callable[[Mark], Answer]


def segment(marks: list[Mark], classify: Classify) -> list[Candidate]:
    """Return the marks in reading order with their answers, joined and split where that is better.

    `classify` answers one mark; it is asked for every mark, and for each join and cut that is
    tried.
    """
    joined = _join_neighbours([Candidate(mark, classify(mark)) for mark in marks], classify)
    candidates = [part for each in joined for part in _split(each, classify)]
    # What was joined stands where its first piece stood.
    by_mark = {id(each.mark): each for each in candidates}
    return [by_mark[id(mark)] for mark in sort_in_reading_order([each.mark for each in candidates])]


def _join_neighbours(candidates: list[Candidate], classify: Classify) -> list[Candidate]:
    candidates, place = list(candidates), 0
    while place < len(candidates):
        for other in range(place + 1, len(candidates)):
            whole = _join(candidates[place], candidates[other], classify)
            if whole is not None:
                # The whole may be near a third piece: it is tried again from here.
                candidates[place] = whole
                del candidates[other]
                break
        else:
            place += 1
    return candidates


def _join(first: Candidate, second: Candidate, classify: Classify) -> Candidate | None:
    """Return two candidates as one if they are near each other and read better so, else None."""
    mark = join_marks(first.mark, second.mark)
    if mark is None:
        return None
    whole = Candidate(mark, classify(mark))
    confidence = digit_confidence(whole.answer)
    digits = first.answer.digit, second.answer.digit
    are_ones = digits == (1, 1) == (whole.answer.digit,) * 2
    if are_ones and not are_stacked(first.mark, second.mark):
        return None
    if None in digits or are_ones:
        # A piece that is no digit belongs to what it completes; so does half of a 1.
        return whole if confidence >= _JOINED else None
    apart = min(digit_confidence(first.answer), digit_confidence(second.answer))
    return whole if confidence > max(apart, SURE) else None


def _split(candidate: Candidate, classify: Classify) -> list[Candidate]:
    """Return a candidate as the digits that touch in it, or as it is where no cut is clear."""
    mark = candidate.mark
    if candidate.answer.digit is not None:
        return [candidate]
    for part in (*mark.parts, strongest_part(mark)):
        if part is None:
            continue
        answer = classify(part)
        # Any straight piece of anything is a 1.
        if digit_confidence(answer) >= _PART and answer.digit != 1:
            return [Candidate(part, answer)]
    for left, right in find_splits(mark):
        first = Candidate(left, classify(left))
        if digit_confidence(first.answer) < _SPLIT:
            continue
        rest = _split(Candidate(right, classify(right)), classify)
        answers = [first.answer, *(each.answer for each in rest)]
        # Parts of an n or an m are ones beside other digits.
        if min(map(digit_confidence, answers)) >= _SPLIT and all(a.digit != 1 for a in answers):
            return [first, *rest]
    return [candidate]

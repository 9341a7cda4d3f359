"""What spoiling proposals is worth, and how fast a term ends: exact, printed as Markdown.

``python tla/roles/bias.py`` prints the text between the ``bias`` markers of ``spec/08-roles.md``.  Model:
the leader order of a term is a uniformly random permutation of n validators, f of them liars who act
together; each proposer's candidate seed is independent of the others; the liars want one outcome that a
fair draw gives with probability p.  With c candidates they get it with probability 1 - (1 - p)^c.

- Synchronous regime: only what liars propose before the first honest proposer can be passed up.
  If w liars lead the order they choose among w + 1 candidates (``Seed!SynchronousBias``).
- Delayed regime: votes can be delayed, or a liar's vote is pivotal because others are away; any live
  proposer's candidate can be passed up or brought through (``TermSlot!NeverPickThird``, ``DelayedBias``).
"""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

SIZES = ((4, 1), (7, 1), (7, 2), (10, 3), (16, 5), (31, 10), (64, 21))
"""(validators, liars): the largest number of liars that is tolerated, and one below."""

QUARTER = Fraction(1, 4)


def wanted(probability: Fraction, candidates: int) -> Fraction:
    """Chance that one of ``candidates`` independent outcomes is the wanted one."""
    return 1 - (1 - probability) ** candidates


def leading(validators: int, liars: int, count: int) -> Fraction:
    """Chance that exactly ``count`` liars stand before the first honest validator."""
    chance = Fraction(1)
    for place in range(count):
        chance *= Fraction(liars - place, validators - place)
    return chance * Fraction(validators - liars, validators - count)


def synchronous(validators: int, liars: int, probability: Fraction) -> Fraction:
    """Chance of the wanted outcome when only the liars' own leading turns can be passed up."""
    total = Fraction(0)
    for count in range(liars + 1):
        total += leading(validators, liars, count) * wanted(probability, count + 1)
    return total


def in_a_row(validators: int, liars: int, records: int) -> Fraction:
    """Chance that the liars can propose so many consecutive records, choosing among their own candidates."""
    chance = Fraction(1)
    for _ in range(records):
        chance = sum(
            (leading(validators, liars, count) * wanted(chance, count) for count in range(1, liars + 1)),
            Fraction(0),
        )
    return chance


def slots_until_final(validators: int, away: int, turn: int) -> list[int]:
    """Slots until finality for each leader order, without liars; the present record counts as slot 0.

    A rotation in which it never ends gives 0.
    """
    results = []
    for order in permutations(range(validators)):
        run, result = 1, 0
        for slot in range(1, 4 * turn * validators + 1):
            leader = order[((slot - 1) // turn) % validators]
            run = 0 if leader < away else run + 1
            if run == 3:
                result = slot
                break
        results.append(result)
    return results


def percent(value: Fraction) -> str:
    """One decimal, rounded half up; below a thousandth in two significant digits."""
    if value == 0 or value >= Fraction(1, 1000):
        tenths = (value * 1000 + Fraction(1, 2)).__floor__()
        return f"{tenths // 10}.{tenths % 10} %"
    return f"{float(value) * 100:.1e} %"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---:|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main() -> None:
    """Print the three tables."""
    fair = (Fraction(1, 10), QUARTER, Fraction(1, 3), Fraction(1, 2))
    print(
        "What v + 1 outcomes to choose among make of an outcome that a fair draw gives with probability p:\n"
    )
    print(
        table(
            ("spoiled v", *(f"p = {percent(p)}" for p in fair)),
            [(str(v), *(percent(wanted(p, v + 1)) for p in fair)) for v in range(4)],
        )
    )
    print("\nHow often n validators with f liars give v spoiled proposers, what an outcome of 25 % becomes,")
    print("and how often the liars can propose three records in a row:\n")
    head: tuple[str, ...] = ("n", "f", "v = 0", "v = 1", "v = 2", "v = 3")
    head += ("25 %, synchronous", "25 %, votes delayed", "three in a row")
    rows = []
    for n, f in SIZES:
        shares = tuple(percent(leading(n, f, v)) if v <= f else "0" for v in range(4))
        gains = (synchronous(n, f, QUARTER), wanted(QUARTER, n), in_a_row(n, f, 3))
        rows.append((str(n), str(f), *shares, *(percent(gain) for gain in gains)))
    print(table(head, rows))
    print(
        "\nSlots until a term's record is final on a stable network without liars, with the two slots a turn"
    )
    print("of the rule, and with one for comparison:\n")
    rows = []
    for n, away in ((3, 0), (3, 1), (4, 0), (4, 1), (7, 2)):
        row = [str(n), str(away)]
        for turn in (2, 1):
            slots = slots_until_final(n, away, turn)
            ended = [slot for slot in slots if slot]
            mean = Fraction(sum(ended), len(ended))
            stuck = Fraction(len(slots) - len(ended), len(slots))
            row += [str(max(ended)), f"{float(mean):.2f}", percent(stuck)]
        rows.append(tuple(row))
    print(table(("n", "away", "most", "mean", "never", "one: most", "one: mean", "one: never"), rows))


if __name__ == "__main__":
    main()

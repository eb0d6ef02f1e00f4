import numpy as np

from forefill_operator.roster import FIRST_ROWS, Roster


def test_a_row_is_a_clients_own_and_stays() -> None:
    roster = Roster()
    rows = [roster.row_of(f"uid-{number}") for number in range(3 * FIRST_ROWS)]
    assert len(set(rows)) == 3 * FIRST_ROWS
    assert [roster.row_of(f"uid-{number}") for number in range(3 * FIRST_ROWS)] == rows
    assert [roster.uids[row] for row in rows] == [f"uid-{number}" for number in range(3 * FIRST_ROWS)]


def test_what_is_written_survives_when_the_roster_grows() -> None:
    roster = Roster()
    row = roster.row_of("uid")
    roster.request[row], roster.group[row] = 7.0, 3
    for number in range(5 * FIRST_ROWS):
        roster.row_of(f"other-{number}")
    assert (roster.request[row], roster.group[row]) == (7.0, 3)


def test_whoever_gets_the_row_of_somebody_gone_inherits_nothing() -> None:
    roster = Roster()
    row = roster.row_of("gone")
    roster.request[row], roster.known[row], roster.weight[row], roster.fresh_until[row] = 9.0, True, 1.1, 99.0
    roster.judge(row, "Quarantine")
    roster.remove("gone")
    roster.remove("gone")
    assert roster.row_of("next") == row
    assert (roster.request[row], roster.known[row], roster.weight[row], roster.verdict[row]) == (0.0, False, 1.0, 0)
    assert (roster.fresh(0.0).tolist(), roster.silent(0.0)) == ([], ["next"])


def test_clients_take_part_until_their_time_is_over() -> None:
    roster = Roster()
    first, second = roster.row_of("first"), roster.row_of("second")
    roster.fresh_until[[first, second]] = 10.0, 20.0
    assert [sorted(roster.fresh(now).tolist()) for now in (0.0, 10.0, 20.0)] == [sorted([first, second]), [second], []]
    assert [sorted(roster.silent(now)) for now in (0.0, 10.0, 20.0)] == [[], ["first"], ["first", "second"]]


def test_a_backlog_shrinks_by_what_the_rate_has_served_since() -> None:
    roster = Roster()
    row = roster.row_of("uid")
    roster.waiting[row], roster.heard_at[row], roster.request[row], roster.granted[row] = 100.0, 5.0, 20.0, 30.0
    rows = np.array([row])
    assert [float(roster.backlog(rows, now)[0]) for now in (5.0, 9.0, 99.0)] == [100.0, 60.0, 0.0]
    roster.granted[row] = 10.0
    assert float(roster.backlog(rows, 9.0)[0]) == 100.0

"""Chat logs without JSON: CSV tables and plain pages of a weather chatbot."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora.transcripts import parse_transcripts
from twainbot.errors import UnreadableSource


def talks(text: str, name: str = "") -> list[list[tuple[str, str]]]:
    rows = parse_transcripts(text.encode(), name)
    return [[(turn["role"], turn["content"]) for turn in row["turns"]] for row in rows]


RAIN = [("user", "Rain today?"), ("assistant", "None, says the office.")]


@pytest.mark.parametrize(
    "text",
    [
        "User: Rain today?\nBot: None, says the office.",
        "Human: Rain today?\n\nAssistant: None, says the office.\n",
        "Q: Rain today?\nA: None, says the office.",
        "[2026-05-16 10:22:31] User: Rain today?\n[2026-05-16 10:22:33] WeatherBot: None, says the office.",
        "2026-05-16T10:22:31Z User: Rain today?\n2026-05-16T10:22:33Z Bot: None, says the office.",
        "05/16/2026, 10:22 AM - User: Rain today?\n05/16/2026, 10:23 AM - Bot: None, says the office.",
        "[10:22] <User>: Rain today?\n[10:23] <Bot>: None, says the office.",
        "**User:** Rain today?\n**Bot:** None, says the office.",
        "USER (10:22): Rain today?\nBOT (10:23): None, says the office.",
    ],
)
def test_plain_logs_with_and_without_times_are_read(text):
    assert talks(text) == [RAIN]
    assert parse_transcripts(text.encode())[0]["format"] == "log"


def test_lines_of_a_reply_that_look_like_speakers_stay_in_the_reply():
    text = "User: The week?\nBot: Here it is.\nTonight: Clear, low 45.\n\n10:00 AM Temperature: 50\nUser: Thanks"
    assert talks(text)[0][1] == (
        "assistant",
        "Here it is.\nTonight: Clear, low 45.\n\n10:00 AM Temperature: 50",
    )


def test_what_one_side_sends_in_several_lines_is_one_turn():
    assert talks("User: Rain?\nUser: At Keokuk.\nBot: No.") == [[("user", "Rain?\nAt Keokuk."), ("assistant", "No.")]]


@pytest.mark.parametrize("mark", ["---", "=====", "=== Session 12 ===", "# Conversation b-7", "***"])
def test_dividing_lines_separate_conversations(mark):
    text = f"User: Rain today?\nBot: None, says the office.\n{mark}\nUser: Snow?\nBot: No."
    assert talks(text) == [RAIN, [("user", "Snow?"), ("assistant", "No.")]]


def test_a_named_session_gives_the_id():
    rows = parse_transcripts(b"=== Session 12 ===\nUser: Snow?\nBot: No.\n=== Session 13 ===\nUser: Rain?\nBot: No.")
    assert [row["id"] for row in rows] == ["12", "13"]


def test_half_an_hour_of_silence_separates_conversations():
    stamped = "[2026-05-16 {}] {}"
    lines = [("10:00", "User: Rain today?"), ("10:30", "Bot: None, says the office."), ("11:01", "User: Snow?")]
    text = "\n".join(stamped.format(*line) for line in [*lines, ("11:02", "Bot: No.")])
    assert talks(text) == [RAIN, [("user", "Snow?"), ("assistant", "No.")]]


def test_an_unknown_speaker_rejects_its_conversation_and_no_other():
    text = (
        "[2026-05-16 10:00] User: Rain?\n[2026-05-16 10:01] Zebulon: Ha!\n[2026-05-16 10:02] Bot: No.\n---\n"
        "User: Rain today?\nBot: None, says the office."
    )
    rows = parse_transcripts(text.encode())
    assert [row["reject_reason"] for row in rows] == ["unknown_role (line 2)", None]


def test_a_side_that_says_nothing_is_rejected():
    assert parse_transcripts(b"User:\nBot: No rain.")[0]["reject_reason"] == "empty_turn (turn 1)"
    assert parse_transcripts(b"User: Rain?\nUser: Hello?")[0]["reject_reason"] == "no_assistant_turn"


def test_lines_above_the_first_speaker_are_left_out_and_named():
    row = parse_transcripts(b"Weather desk, May\n\nUser: Rain?\nBot: No.")[0]
    assert row["left_out"] == ["lines_before_first_speaker"]


def test_personal_data_is_removed_from_logs_too():
    row = parse_transcripts(b"User: my name is Ada, call 319-555-0142\nBot: Dry, Ada.")[0]
    assert [turn["content"] for turn in row["turns"]] == ["my name is [name], call [phone]", "Dry, [name]."]
    assert row["removed"] == {"name": 2, "phone": 1}


TABLE = (
    "session_id,timestamp,sender,message\n"
    "s1,2026-05-16 10:00,user,Rain today?\n"
    's2,2026-05-16 10:00,user,"Snow, perhaps?\nOr sleet?"\n'
    's1,2026-05-16 10:01,bot,"None, says the office."\n'
    "s2,2026-05-16 10:01,bot,No.\n"
)
SNOW = [("user", "Snow, perhaps?\nOr sleet?"), ("assistant", "No.")]


def test_rows_of_a_table_are_gathered_by_their_session():
    assert talks(TABLE) == [RAIN, SNOW]
    assert [(row["id"], row["format"]) for row in parse_transcripts(TABLE.encode())] == [("s1", "csv"), ("s2", "csv")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_other_delimiters_are_seen(delimiter):
    plain = "role,text\nuser,Rain today?\nassistant,None says the office.\n"
    assert talks(plain.replace(",", delimiter)) == [[RAIN[0], ("assistant", "None says the office.")]]


def test_a_table_of_questions_and_answers_is_one_conversation_a_row():
    text = 'Question,Answer,rating\nRain today?,"None, says the office.",5\nSnow?,No.,4\n'
    assert talks(text) == [RAIN, [("user", "Snow?"), ("assistant", "No.")]]


def test_questions_of_one_session_are_one_conversation():
    text = "conversation_id,user,bot\nx,Rain?,No.\nx,Snow?,No.\n"
    assert talks(text) == [[("user", "Rain?"), ("assistant", "No."), ("user", "Snow?"), ("assistant", "No.")]]


def test_a_table_with_the_newest_row_first_is_turned_round():
    head, *rows = (
        "time,role,text",
        "2026-05-16 10:00,user,Rain today?",
        '2026-05-16 10:01,bot,"None, says the office."',
    )
    assert talks("\n".join([head, *rows[::-1]])) == [RAIN]


def test_silence_divides_a_table_without_sessions():
    text = (
        "time,role,text\n2026-05-16 10:00,user,Rain today?\n2026-05-16 10:01,bot,\"None, says the office.\"\n"
        "2026-05-17 10:00,user,Snow?\n2026-05-17 10:01,bot,No.\n"
    )  # fmt: skip
    assert talks(text) == [RAIN, [("user", "Snow?"), ("assistant", "No.")]]


def test_a_ragged_row_and_an_unknown_speaker_reject_their_conversations():
    text = TABLE + "s2,2026-05-16 10:02,user\ns3,2026-05-16 10:02,zebulon,Ha!\n"
    rows = parse_transcripts(text.encode())
    assert [row["reject_reason"] for row in rows] == [None, "malformed_row (line 7)", "unknown_role (line 8)"]


@pytest.mark.parametrize("text", ["id,joke\n1,Mud keeps.", "a,b,c\n1,2,3", "", "Only prose, and one line of it."])
def test_tables_without_talk_and_prose_are_refused(text):
    with pytest.raises(UnreadableSource):
        parse_transcripts(text.encode(), "log.csv")
    with pytest.raises(UnreadableSource):
        parse_transcripts(text.encode())


LINES = [
    "User: a", "Bot: b", "---", "", "[2026-05-16 10:00] Bot: c", "plain", "role,text", "user,x", '"', "Session 1",
    "99/99/9999 99:99 - User: x", "[2026-13-45 10:00] User: y",
]  # fmt: skip


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=9))
def test_any_page_gives_turns_or_a_reason_and_never_a_traceback(pieces):
    try:
        rows = parse_transcripts("\n".join(pieces).encode())
    except UnreadableSource:
        return
    assert all(bool(row["turns"]) != bool(row["reject_reason"]) for row in rows)

"""Names are found and sorted by œ as by oe, and so on: those that were kept otherwise."""

from alembic import op

revision, down_revision = "0002", "0001"
LETTERS = {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d"}
SORT_CHARACTERS = 80


def upgrade() -> None:
    for letter, plain in LETTERS.items():
        other = f"replace(word, '{letter}', '{plain}')"
        op.execute(
            f"UPDATE files.item SET sort_key = substr(replace(sort_key, '{letter}', '{plain}'), 1, {SORT_CHARACTERS}) "
            f"WHERE sort_key LIKE '%{letter}%'"
        )
        op.execute(
            f"DELETE FROM files.item_word WHERE word LIKE '%{letter}%' AND EXISTS (SELECT 1 FROM files.item_word twin "
            f"WHERE twin.item_id = files.item_word.item_id AND twin.word = replace(files.item_word.word, '{letter}', '{plain}'))"
        )
        op.execute(f"UPDATE files.item_word SET word = {other} WHERE word LIKE '%{letter}%'")


def downgrade() -> None:
    """What was folded stays so: the version before finds it by `oe`, as whoever has no key for œ writes."""

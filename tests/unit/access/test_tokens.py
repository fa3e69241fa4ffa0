"""What a token looks like, and what is kept of it."""

import re

from access.tokens import as_id, hash_of, id_in, new_token


def test_a_token_names_itself_and_carries_256_random_bits() -> None:
    token = new_token()
    found = re.fullmatch(r"fmk_([0-9a-f]{12})_([0-9a-f]{64})", token.text)
    assert found is not None
    assert found[1] == token.id == id_in(token.text.encode()).decode() == as_id(token.text) == as_id(token.id)


def test_no_two_are_alike() -> None:
    made = [new_token() for _ in range(200)]
    assert len({token.id for token in made}) == len({token.text[-64:] for token in made}) == 200


def test_what_is_kept_and_what_is_printed_by_mistake_hold_no_secret() -> None:
    token = new_token()
    assert token.hash == hash_of(token.text.encode())
    assert len(token.hash) == 32
    assert token.text[-64:] not in repr(token)

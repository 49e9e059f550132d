"""What a session says is what the model says to a program, bit for bit, whoever else is served beside it."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from serving_client import Client, Server
from websockets.sync.client import connect

from rnnkit.runtime import LanguageModel
from rnnkit.state import State


def alone(model: LanguageModel, ids: list[int]) -> list[list[float]]:
    """The log-probabilities after each of `ids`, step by step."""
    _, state = model.step(model.begin_id)
    said = []
    for id in ids:
        log_probs, state = model.step(id, state)
        said.append(log_probs[0].tolist())
    return said


def test_200_sessions_of_64_clients_say_what_each_says_alone(server: Server, model: LanguageModel) -> None:
    rng = random.Random(0)
    texts = [[rng.randrange(model.vocab_size) for _ in range(rng.randrange(1, 12))] for _ in range(200)]
    said: list[list[list[float]]] = [[] for _ in texts]
    with server.client() as first:
        paths = [first.open(model="writer") for _ in texts]
        before = first.get("/metrics").body.decode()
        places = [number for number, ids in enumerate(texts) for _ in ids]
        rng.shuffle(places)
        start, locks = threading.Barrier(64), [threading.Lock() for _ in texts]

        def client(share: list[int]) -> None:
            with server.client() as client:
                start.wait()
                for number in share:
                    with locks[number]:
                        id = texts[number][len(said[number])]
                        answer = client.post(f"{paths[number]}/step", {"ids": [id], "log_probs": True, "top": 0})
                        assert answer.status == 200, answer
                        said[number].append(answer.json["log_probs"])

        with ThreadPoolExecutor(64) as pool:
            list(pool.map(client, [places[share::64] for share in range(64)]))
        after = first.get("/metrics").body.decode()
        for path in paths:
            assert first.ask("DELETE", path).status == 204
    for ids, got in zip(texts, said, strict=True):
        assert got == alone(model, ids)
    ticks = metric(after, "rnnkit_batches_total") - metric(before, "rnnkit_batches_total")
    assert ticks < len(places)  # so that some ran side by side


def metric(text: str, name: str) -> float:
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


GENERATIONS: list[dict[str, Any]] = [
    {"max_new_tokens": 30, "seed": 3},
    {"prompt": "the quick", "max_new_tokens": 20, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "seed": 1},
    {"prompt": "the", "max_new_tokens": 20, "repetition_penalty": 1.4, "min_p": 0.02},
    {"prompt": "fox", "max_new_tokens": 25, "no_repeat_ngram_size": 2, "temperature": 0.0},
    {"prompt": "dog", "max_new_tokens": 12, "regex": "[a-z]{3,9}"},
    {"prompt": "dog", "max_new_tokens": 60, "stop": ["e", "qu"], "seed": 5},
    {"prompt": "lazy", "prefix": " dog", "max_new_tokens": 9},
    {"prompt": "lazy", "max_new_tokens": 0},
]


@pytest.mark.parametrize("options", GENERATIONS, ids=lambda options: "-".join(options))
def test_what_a_session_writes_is_what_generate_writes(
    client: Client, model: LanguageModel, options: dict[str, Any]
) -> None:
    want = "".join(model.generate(**options))
    events = list(client.events(f"{client.open(model='writer')}/generate", options))
    assert "".join(event.get("text", "") for event in events) == want == events[-1]["full_text"]
    assert [event["is_done"] for event in events] == [False] * (len(events) - 1) + [True]
    plain = client.post(f"{client.open(model='writer')}/generate", options | {"stream": False})
    assert plain.json["text"] == want


def test_two_generations_are_one_that_was_not_interrupted(client: Client, model: LanguageModel) -> None:
    path = client.open(model="writer")
    body = {"seed": 7, "stream": False}
    parts = [client.post(f"{path}/generate", body | {"max_new_tokens": count}).json["text"] for count in (5, 1, 14)]
    assert "".join(parts) == "".join(model.generate(max_new_tokens=20, seed=7))
    assert client.get(path).json["num_drawn"] == 20


def test_a_session_goes_on_after_what_it_wrote(client: Client, model: LanguageModel) -> None:
    path = client.open(model="writer")
    text = client.post(f"{path}/generate", {"prompt": "the ", "max_new_tokens": 8, "stream": False}).json["text"]
    said = client.post(f"{path}/step", {"text": "x", "log_probs": True}).json
    assert said["num_read"] == 4 + 8 + 1
    assert said["log_probs"] == alone(model, model.tokenizer.encode(f"the {text}x").tolist())[-1]


def test_the_likeliest_tokens_come_first_and_have_their_probabilities(client: Client, model: LanguageModel) -> None:
    said = client.post(f"{client.open(model='writer')}/step", {"text": "the", "top": 4, "hidden": True}).json
    log_probs = np.array(alone(model, model.tokenizer.encode("the").tolist())[-1])
    best = np.argsort(-log_probs, kind="stable")[:4]
    assert [one["id"] for one in said["top"]] == best.tolist()
    assert [one["text"] for one in said["top"]] == [model.tokenizer.token_text(id) for id in best.tolist()]
    np.testing.assert_allclose([one["probability"] for one in said["top"]], np.exp(log_probs[best]), rtol=1e-6)
    h = model.read("the").layers[1]["h"][0]
    assert [len(layer) for layer in said["hidden"]] == [16, 16]
    assert said["hidden"][1] == np.rint(127 * h).astype(int).tolist()


def test_a_step_may_read_nothing(client: Client, model: LanguageModel) -> None:
    said = client.post(f"{client.open(model='writer')}/step", {"ids": [], "log_probs": True}).json
    assert said["log_probs"] == model.step(model.begin_id)[0][0].tolist()


def test_a_long_text_is_read_in_chunks_with_the_bits_of_the_whole(client: Client, model: LanguageModel) -> None:
    text = "the quick brown fox " * 50
    path = client.open(model="writer")
    said = client.post(f"{path}/step", {"text": text, "log_probs": True}).json
    ids = np.array([model.begin_id, *model.tokenizer.encode(text)])
    assert said["log_probs"] == model(ids[:, None])[0][-1, 0].tolist()


def test_a_fork_goes_its_own_way(client: Client, model: LanguageModel) -> None:
    path = client.open(model="writer")
    client.post(f"{path}/step", {"text": "the"})
    answer = client.post(f"{path}/fork")
    assert answer.status == 201
    fork = f"/v1/sessions/{answer.json['session']}"
    said = {way: client.post(f"{one}/step", {"text": way, "log_probs": True}).json for one, way in
            ((path, " dog"), (fork, " fox"))}  # fmt: skip
    for way in said:
        assert said[way]["log_probs"] == alone(model, model.tokenizer.encode("the" + way).tolist())[-1]


def test_an_exported_state_opens_a_session_that_goes_on(client: Client, model: LanguageModel) -> None:
    path = client.open(model="writer")
    client.post(f"{path}/generate", {"prompt": "the", "max_new_tokens": 5, "seed": 2, "stream": False})
    state = client.get(f"{path}/state").json["state"]
    assert client.ask("DELETE", path).status == 204
    again = client.open(state=state)
    assert client.get(again).json["num_drawn"] == 5
    rest = client.post(f"{again}/generate", {"max_new_tokens": 9, "seed": 2, "stream": False}).json["text"]
    assert "".join(model.generate("the", max_new_tokens=14, seed=2))[5:] == rest


def test_a_state_that_was_touched_or_is_none_is_refused(client: Client) -> None:
    state = client.get(f"{client.open(model='writer')}/state").json["state"]
    rng = random.Random(1)
    for _ in range(40):
        at = rng.randrange(len(state))
        damaged = state[:at] + ("A" if state[at] != "A" else "B") + state[at + 1 :]
        answer = client.post("/v1/sessions", {"state": damaged})
        assert (answer.status, answer.error["field"]) == (422, "body.state")
    for wrong in (state[:-1], state + "A", "", "é", "=" * 99, state[: len(state) // 2]):
        answer = client.post("/v1/models/writer/step", {"state": wrong, "text": "a"})
        assert (answer.status, answer.error["field"]) == (422, "body.state"), wrong


def test_a_state_that_travels_says_what_a_session_says(client: Client, model: LanguageModel) -> None:
    first = client.post("/v1/models/writer/step", {"text": "the", "log_probs": True}).json
    assert first["log_probs"] == alone(model, model.tokenizer.encode("the").tolist())[-1]
    events = list(
        client.events("/v1/models/writer/generate", {"state": first["state"], "max_new_tokens": 6, "seed": 1})
    )
    more = {"state": events[-1]["state"], "max_new_tokens": 6, "seed": 1, "stream": False}
    last = client.post("/v1/models/writer/generate", more).json
    assert events[-1]["full_text"] + last["text"] == "".join(model.generate("the", max_new_tokens=12, seed=1))


def test_a_web_socket_steps_and_writes_in_its_session(server: Server, client: Client, model: LanguageModel) -> None:
    path = client.open(model="writer")
    with connect(f"ws://127.0.0.1:{server.port}{path}/ws") as socket:
        for message, field in (
            ("{", "body"), ('{"step":{"text":1}}', "body.step.text"), ("{}", "body"), ('{"step":{"ids":[99]}}', "body"),
        ):  # fmt: skip
            socket.send(message)
            error = json.loads(socket.recv(TIMEOUT))["error"]
            assert (error["status"], error["field"]) == (422, field)
        socket.send(json.dumps({"step": {"text": "the", "log_probs": True}}))
        assert json.loads(socket.recv(TIMEOUT))["log_probs"] == alone(model, model.tokenizer.encode("the").tolist())[-1]
        socket.send(json.dumps({"generate": {"max_new_tokens": 11, "seed": 4}}))
        text = ""
        while True:
            said = json.loads(socket.recv(TIMEOUT))
            text += said.get("text", "")
            if said["is_done"]:
                break
        assert text == "".join(model.generate("the", max_new_tokens=11, seed=4))
        socket.send(json.dumps({"generate": {"max_new_tokens": 10_000}}))
        socket.recv(TIMEOUT)
        socket.send("{}")  # stop
        while "error" not in (said := json.loads(socket.recv(TIMEOUT))):
            pass
        assert said["error"]["status"] == 499
        assert client.get(path).json["num_drawn"] == 11  # as it was before


TIMEOUT = 60


def test_of_two_steps_at_once_on_one_session_one_is_told(server: Server, client: Client) -> None:
    path = client.open(model="writer")
    text = "the lazy dog " * 4000

    def step(_: int) -> int:
        with server.client() as other:
            return other.post(f"{path}/step", {"text": text}).status

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(step, range(4)))
    assert statuses[0] == 200
    assert statuses[-1] == 409
    assert client.get(path).json["num_read"] == len(text) * statuses.count(200)


def test_completions_are_the_models(client: Client, model: LanguageModel) -> None:
    said = client.post("/v1/models/writer/complete", {"text": "the qu", "k": 3}).json
    assert [(one["text"], one["probability"]) for one in said] == model.complete("the qu", k=3)


def test_a_closed_session_is_gone(client: Client) -> None:
    path = client.open(model="writer")
    assert client.ask("DELETE", path).status == 204
    for method, rest, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/step", {"text": "a"})):
        assert client.ask(method, path + rest, body).status == 404


def test_states_keep_to_their_model(server: Server, client: Client, model: LanguageModel) -> None:
    """The bytes in an export are `State.to_bytes()`."""
    import base64

    state = client.get(f"{client.open(model='writer')}/state").json["state"]
    signed = base64.urlsafe_b64decode(state + "=" * (-len(state) % 4))
    size = int.from_bytes(signed[:4], "little")
    assert State.from_bytes(signed[4 + size : -32], like=model.initial_state(1)) == model.step(model.begin_id)[1]

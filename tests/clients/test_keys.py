"""Clients of others with keys of ours, shown in the ways that they know."""

import openai
import pytest
import webuiapi
from conftest import Server

KEYS = {"reader": "read", "maker": "read,generate"}
SMALL = {"width": 64, "height": 64, "steps": 2}


@pytest.fixture(scope="module")
def locked():
    running = Server("--devices", "cpu", "--shutdown-secs", "1", "--require-key", "true", keys=KEYS)
    yield running
    running.stop()


def a1111(server, name, key):
    return webuiapi.WebUIApi(host="127.0.0.1", port=server.port, username=name, password=key)


def test_the_name_and_the_key_are_user_and_password(locked):
    maker, reader = (a1111(locked, name, locked.keys[name]) for name in ("maker", "reader"))
    assert maker.txt2img(prompt="a red circle", **SMALL).image.size == (64, 64)
    assert "Euler" in reader.util_get_sampler_names()
    with pytest.raises(RuntimeError) as caught:
        reader.txt2img(prompt="a red circle", **SMALL)
    assert caught.value.args[0] == 403 and "generate" in caught.value.args[1]
    for name, key in [("maker", locked.keys["reader"]), ("maker", "wrong"), ("nobody", locked.keys["maker"])]:
        with pytest.raises(RuntimeError) as caught:
            a1111(locked, name, key).txt2img(prompt="a red circle", **SMALL)
        assert caught.value.args[0] == 401


def test_a_key_is_a_bearer_token(locked):
    client = lambda key: openai.OpenAI(base_url=f"{locked.url}/v1", api_key=key, max_retries=0, timeout=60)
    draw = lambda key: client(key).images.generate(prompt="a red circle", size="64x64", quality="low")
    assert len(draw(locked.keys["maker"]).data) == 1
    assert [model.id for model in client(locked.keys["reader"]).models.list()] == ["demo"]
    with pytest.raises(openai.PermissionDeniedError):
        draw(locked.keys["reader"])
    with pytest.raises(openai.AuthenticationError) as caught:
        draw("sk-something-of-another-place")
    assert caught.value.code == "invalid_api_key"

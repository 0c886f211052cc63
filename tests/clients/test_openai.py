"""The `openai` package, as its users call it."""

import base64
import concurrent.futures
import io
import time

import openai
import pytest
import requests
from PIL import Image

SIZE = "64x64"


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=300)


def opened(data):
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def test_pictures_come_with_the_answer(client):
    answer = client.images.generate(model="demo", prompt="a red circle", n=2, size=SIZE, quality="low", response_format="b64_json")
    assert len(answer.data) == 2
    for image in answer.data:
        picture = opened(base64.b64decode(image.b64_json))
        assert (picture.format, picture.size) == ("PNG", (64, 64))
        assert picture.text["parameters"].startswith("a red circle\n")
    assert answer.created > 1_700_000_000
    assert (answer.size, answer.output_format, answer.background, answer.quality) == (SIZE, "png", "opaque", "low")
    assert answer.usage.input_tokens == answer.usage.total_tokens > 0


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_pictures_have_the_form_that_was_asked_for(client, form):
    answer = client.images.generate(prompt="a red circle", size=SIZE, quality="low", output_format=form)
    assert opened(base64.b64decode(answer.data[0].b64_json)).format == form.upper()


def test_pictures_have_addresses(client):
    answer = client.images.generate(model="dall-e-3", prompt="a red circle", size=SIZE, quality="low", response_format="url")
    image = answer.data[0]
    assert image.b64_json is None and image.revised_prompt == "a red circle"
    # Whoever shows the picture has no key.
    fetched = requests.get(image.url, timeout=30)
    assert fetched.status_code == 200 and opened(fetched.content).size == (64, 64)
    assert requests.get(image.url[:-3] + "AAA", timeout=30).status_code == 403


def test_looks_come_on_the_way(client):
    stream = client.images.generate(model="gpt-image-1", prompt="a red circle", size="256x256", stream=True, partial_images=2)
    events = list(stream)
    assert [event.type for event in events[-1:]] == ["image_generation.completed"]
    looks = events[:-1]
    assert 1 <= len(looks) <= 2
    for index, look in enumerate(looks):
        assert (look.type, look.partial_image_index) == ("image_generation.partial_image", index)
        opened(base64.b64decode(look.b64_json))
    assert opened(base64.b64decode(events[-1].b64_json)).size == (256, 256)
    assert events[-1].usage.output_tokens == 0


@pytest.mark.parametrize(
    "asked, kind, param, code",
    [
        ({"n": 11}, openai.BadRequestError, "n", "invalid_value"),
        ({"size": "7x7"}, openai.BadRequestError, "size", "invalid_value"),
        ({"prompt": ""}, openai.BadRequestError, "prompt", "missing_required_parameter"),
        ({"background": "transparent"}, openai.BadRequestError, "background", "invalid_value"),
        ({"extra_body": {"steps": 3}}, openai.BadRequestError, "steps", "unknown_parameter"),
        ({"model": "nothing"}, openai.NotFoundError, "model", "model_not_found"),
    ],
)
def test_errors_are_the_clients_own(client, asked, kind, param, code):
    with pytest.raises(kind) as caught:
        client.images.generate(**{"prompt": "a red circle", "size": SIZE, **asked})
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.body["message"]


def test_what_was_cancelled_is_not_asked_for_again(server):
    # As the package is set by itself, which tries twice more after 409 and 500.
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=300)
    before = {job["id"] for job in server.get("/api/v1/jobs?limit=100").json()["items"]}
    asked = lambda: [job for job in server.get("/api/v1/jobs?limit=100").json()["items"] if job["id"] not in before]

    def cancel():
        until = time.monotonic() + 60
        while not (jobs := asked()) and time.monotonic() < until:
            time.sleep(0.05)
        requests.delete(f"{server.url}/api/v1/jobs/{jobs[0]['id']}", timeout=30)

    server.post("/api/v1/queue", {"is_paused": True})
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            cancelled = pool.submit(cancel)
            with pytest.raises(openai.ConflictError) as caught:
                client.images.generate(prompt="a red circle", size=SIZE)
            cancelled.result()
    finally:
        server.post("/api/v1/queue", {"is_paused": False})
    assert caught.value.code == "cancelled"
    assert len(asked()) == 1


def test_what_is_not_there_is_said(client):
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with pytest.raises(openai.APIStatusError) as caught:
        client.images.edit(model="demo", image=("a.png", picture.getvalue()), prompt="x")
    assert (caught.value.status_code, caught.value.code) == (501, "not_implemented")


def test_models(client):
    models = [model.id for model in client.models.list()]
    assert "demo" in models
    assert client.models.retrieve("demo").owned_by == "encaustic"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")

"""The `webuiapi` package, a client of A1111's interface."""

import threading
import time

import pytest
import webuiapi

SMALL = {"width": 64, "height": 64, "steps": 4, "seed": 7}


@pytest.fixture
def api(server):
    return webuiapi.WebUIApi(host="127.0.0.1", port=server.port)


def test_pictures(api):
    drawn = api.txt2img(prompt="a red circle", negative_prompt="blue", cfg_scale=5, n_iter=2, sampler_name="DPM++ 2M Karras", **SMALL)
    assert [picture.size for picture in drawn.images] == [(64, 64)] * 2
    info = drawn.info
    assert (info["prompt"], info["negative_prompt"], info["cfg_scale"], info["steps"]) == ("a red circle", "blue", 5.0, 4)
    assert (info["all_seeds"], info["sampler_name"]) == ([7, 8], "DPM++ 2M")
    assert info["extra_generation_params"]["Schedule type"] == "Karras"
    assert drawn.image.text["parameters"] == info["infotexts"][0]
    assert drawn.parameters["sampler_name"] == "DPM++ 2M Karras"
    again = api.txt2img(prompt="a red circle", negative_prompt="blue", cfg_scale=5, sampler_name="DPM++ 2M Karras", **{**SMALL, "seed": 8})
    assert again.image.tobytes() == drawn.images[1].tobytes()


def test_a_picture_tells_how_it_was_made(api):
    drawn = api.txt2img(prompt="a red circle", **SMALL)
    assert api.png_info(drawn.image).info == drawn.info["infotexts"][0]


def test_progress_and_interrupt(api):
    assert api.get_progress()["state"]["job_count"] == 0
    result = []
    arguments = {"prompt": "a red circle", **SMALL, "steps": 1000, "width": 256, "height": 256}
    run = threading.Thread(target=lambda: result.append(api.txt2img(**arguments)))
    run.start()
    seen = []
    until = time.monotonic() + 120
    while time.monotonic() < until and not (seen and seen[-1]["current_image"] and seen[-1]["state"]["sampling_step"] > 5):
        seen.append(api.get_progress())
        time.sleep(0.05)
    last = seen[-1]
    assert last["state"]["job_count"] == 1 and last["state"]["sampling_steps"] == 1000
    assert 0 < last["progress"] < 1 and last["eta_relative"] > 0
    assert [told["progress"] for told in seen] == sorted(told["progress"] for told in seen)
    api.interrupt()
    run.join(60)
    assert not run.is_alive() and result[0].images == []
    api.util_wait_for_ready(check_interval=0.1)


def test_options(api):
    options = api.get_options()
    api.set_options(options)
    api.util_set_model("demo")
    assert api.util_get_current_model() in api.util_get_model_names()
    api.set_options({"CLIP_stop_at_last_layers": 2})
    assert api.get_options()["CLIP_stop_at_last_layers"] == 2
    api.set_options({"CLIP_stop_at_last_layers": 1})


def test_lists(api):
    assert {"Euler a", "DPM++ 2M", "DDIM"} <= set(api.util_get_sampler_names())
    assert {"automatic", "karras", "sgm_uniform"} <= set(api.util_get_scheduler_names())
    assert api.get_upscalers()[0]["name"] == "None"
    for empty in (api.get_loras, api.get_face_restorers, api.get_prompt_styles, api.get_sd_vae, api.get_hypernetworks):
        assert empty() == []
    assert "total" in api.get_memory()["ram"]
    assert api.get_cmd_flags()["api"] is True
    assert api.get_embeddings()["loaded"] == {}
    assert api.refresh_checkpoints() is None


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"enable_hr": True}, "enable_hr"),
        ({"prompt": "a <lora:fox:1>"}, "<lora:fox:1>"),
        ({"restore_faces": True}, "restore_faces"),
        ({"sampler_name": "DPM fast"}, "sampler_name"),
        ({"styles": ["x"]}, "styles"),
        # The package keeps scripts in a default that it changes: an own dictionary each time.
        ({"controlnet_units": [webuiapi.ControlNetUnit()], "alwayson_scripts": {}}, "ControlNet"),
    ],
)
def test_what_cannot_be_done_is_refused(api, asked, words):
    with pytest.raises(RuntimeError) as caught:
        api.txt2img(**{"prompt": "a red circle", **SMALL, **asked})
    status, text = caught.value.args
    assert status == 422 and words in text


def test_pictures_cannot_be_drawn_over_yet(api):
    picture = api.txt2img(prompt="a red circle", **SMALL).image
    with pytest.raises(RuntimeError) as caught:
        api.img2img(images=[picture], prompt="x")
    assert caught.value.args[0] == 501

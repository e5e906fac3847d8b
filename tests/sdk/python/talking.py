"""A fake of the Realtime API, over WebSocket: it says what it was asked, and that a response has used so many tokens.

Compression is agreed on where the client offers it.
"""

import json

from websockets.sync.server import serve

# What each response has used.
USAGE = {
    "total_tokens": 30,
    "input_tokens": 10,
    "output_tokens": 20,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 0, "cached_tokens": 4},
    "output_token_details": {"text_tokens": 20, "audio_tokens": 0},
}


def respond(socket, text):
    response = {"object": "realtime.response", "id": "resp_1", "status": "in_progress", "output": [], "usage": None}
    events = [{"type": "response.created", "response": response}]
    place = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    events += [{"type": "response.output_text.delta", "delta": word, **place} for word in text.split()]
    events.append({"type": "response.done", "response": response | {"status": "completed", "usage": USAGE}})
    for nth, event in enumerate(events):
        socket.send(json.dumps(event | {"event_id": f"event_{nth}"}))


def talk(socket):
    headers = socket.request.headers
    said = {"path": socket.request.path, "headers": sorted(headers.keys()), "authorization": headers.get("authorization")}
    session = {"type": "realtime", "instructions": json.dumps(said)}
    socket.send(json.dumps({"type": "session.created", "event_id": "event_0", "session": session}))
    text = ""
    for message in socket:
        event = json.loads(message)
        if event["type"] == "conversation.item.create":
            text = event["item"]["content"][0]["text"]
        elif event["type"] == "response.create":
            respond(socket, text)


def main():
    with serve(talk, "127.0.0.1", 0) as server:
        print(f"running on http://127.0.0.1:{server.socket.getsockname()[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

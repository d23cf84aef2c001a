"""GStreamer's webrtcbin as a publisher or as a player, a process of its own under the system's Python, whose `gi` it needs.

It says one JSON document a line (`offer`, `candidate`, `gathering`, `state`, `picture`, `sound`) and is told the `answer` in the same way; when
its input ends, it ends. The exchange over HTTP is the test's.

    clients/gstreamer.py publish --video h264 --number 5 --audio --hertz 400
    clients/gstreamer.py play --video vp8 --audio
"""

import argparse
import base64
import json
import sys
import threading
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstVideo", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("Nice", "0.1")
from gi.repository import GLib, Gst, GstSdp, GstVideo, GstWebRTC, Nice  # noqa: E402

sys.path.append(str(Path(__file__).parents[1]))
from pattern import COUNTS, HEIGHT, PICTURES_PER_SECOND, WIDTH, draw, read  # noqa: E402

ENCODERS = {
    # Keyframes are made only when they are asked for, so that the requests of receivers have to get through.
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max=9999"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency pt=96"
    " ! application/x-rtp,media=video,encoding-name=H264,payload=96",
    "vp8": "vp8enc deadline=1 cpu-used=8 target-bitrate=800000 keyframe-max-dist=9999 error-resilient=default"
    " ! rtpvp8pay picture-id-mode=15-bit pt=97 ! application/x-rtp,media=video,encoding-name=VP8,payload=97",
}
RECEIVED = {
    "h264": "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96,packetization-mode=(string)1,"
    "profile-level-id=(string)42e01f",
    "vp8": "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload=97",
    "opus": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,encoding-params=(string)2,payload=111",
}
DECODERS = {
    "h264": "rtph264depay ! avdec_h264 ! videoconvert ! video/x-raw,format=I420",
    "vp8": "rtpvp8depay ! vp8dec ! videoconvert ! video/x-raw,format=I420",
    "opus": "rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=1",
}
PICTURES = (
    f"appsrc name=camera is-live=true format=time do-timestamp=true caps=video/x-raw,format=I420,width={WIDTH},"
    f"height={HEIGHT},framerate={PICTURES_PER_SECOND}/1 ! queue"
)
VOICE = (
    "audiotestsrc is-live=true wave=sine volume=0.25 freq={hertz} ! audio/x-raw,rate=48000,channels=1 ! audioconvert ! queue"
    " ! opusenc ! rtpopuspay pt=111 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! rtc."
)

SAYING = threading.Lock()


def say(**what: object) -> None:
    """Tells the test; the pipeline's threads all do, and lines stay whole."""
    with SAYING:
        print(json.dumps(what), flush=True)


class Peer:
    """A pipeline around one webrtcbin."""

    def __init__(self, wish: argparse.Namespace) -> None:
        self.wish = wish
        parts = ["webrtcbin name=rtc bundle-policy=max-bundle", "fakesrc num-buffers=0 ! fakesink async=false"]
        if wish.way == "publish" and wish.audio:
            parts.append(VOICE.format(hertz=wish.hertz))
        if wish.way == "publish" and wish.video:
            parts.append(f"{PICTURES} ! {ENCODERS[wish.video]} ! rtc.")
        self.pipeline = Gst.parse_launch("  ".join(parts))
        self.rtc = self.pipeline.get_by_name("rtc")
        # libnice leaves loopback out; here it is all there should be, and nobody's router should be asked for ports.
        # webrtcbin's own reference to its agent is a floating one, which would go with ours.
        self._agent = self.rtc.props.ice_agent
        agent = self._agent.props.agent
        loopback = Nice.Address.new()
        loopback.set_from_string("127.0.0.1")
        agent.add_local_address(loopback)
        agent.props.upnp = False
        self.rtc.connect("notify::connection-state", lambda *_: say(state=self.rtc.props.connection_state.value_nick))
        self.rtc.connect(
            "notify::ice-gathering-state", lambda *_: say(gathering=self.rtc.props.ice_gathering_state.value_nick)
        )
        self.rtc.connect("on-ice-candidate", lambda _, line, candidate: say(candidate=[line, candidate]))
        self.rtc.connect("pad-added", self._received)
        self.pictures = 0
        self.offering = False

    def begin(self) -> None:
        """Offers what was wished."""
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: say(error=str(message.parse_error())))
        if self.wish.way == "publish":
            self.pipeline.set_state(Gst.State.PLAYING)
            for index in range(bool(self.wish.audio) + bool(self.wish.video)):
                transceiver = self.rtc.emit("get-transceiver", index)
                if not self.wish.both_ways:
                    transceiver.props.direction = GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY
                transceiver.props.do_nack = True
            if camera := self.pipeline.get_by_name("camera"):
                GLib.timeout_add(1000 // PICTURES_PER_SECOND, self._next_picture, camera)
        else:
            for codec in filter(None, ("opus" if self.wish.audio else None, self.wish.video)):
                caps = Gst.Caps.from_string(RECEIVED[codec])
                receiving = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
                self.rtc.emit("add-transceiver", receiving, caps).props.do_nack = True
            self.pipeline.set_state(Gst.State.PLAYING)
        # What is sent has caps, and so a description, only after the first buffers.
        GLib.timeout_add(200, self._offer)

    def answer(self, text: str) -> None:
        """The server's answer."""
        _, message = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.rtc.emit("set-remote-description", answer, Gst.Promise.new())

    def end(self) -> None:
        """Lets go of everything."""
        self.pipeline.set_state(Gst.State.NULL)

    def _offer(self) -> bool:
        self.rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self._offered))
        return False

    def _offered(self, promise: Gst.Promise) -> None:
        # The offer lives no longer than the reply that it was taken from.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self.rtc.emit("set-local-description", offer, Gst.Promise.new())
        say(offer=offer.sdp.as_text())

    def _next_picture(self, camera: Gst.Element) -> bool:
        luma, chroma = draw(self.wish.number, self.pictures % COUNTS)
        self.pictures += 1
        return camera.emit("push-buffer", Gst.Buffer.new_wrapped(luma + chroma + chroma)) == Gst.FlowReturn.OK

    def _received(self, _: Gst.Element, pad: Gst.Pad) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        codec = pad.get_current_caps().get_structure(0).get_string("encoding-name").lower()
        decoding = f"{DECODERS[codec]} ! appsink name=sink emit-signals=true sync=false"
        watching = Gst.parse_bin_from_description(decoding, True)
        watching.get_by_name("sink").connect("new-sample", self._heard if codec == "opus" else self._shown)
        self.pipeline.add(watching)
        watching.sync_state_with_parent()
        pad.link(watching.get_static_pad("sink"))

    def _shown(self, sink: Gst.Element) -> Gst.FlowReturn:
        sample = sink.emit("pull-sample")
        layout = GstVideo.VideoInfo.new_from_caps(sample.get_caps())
        octets = sample.get_buffer().extract_dup(0, sample.get_buffer().get_size())
        reading = read((layout.width, layout.height), octets[layout.offset[0] :], layout.stride[0])
        say(picture=[reading.number, reading.count] if reading else None)
        return Gst.FlowReturn.OK

    def _heard(self, sink: Gst.Element) -> Gst.FlowReturn:
        buffer = sink.emit("pull-sample").get_buffer()
        octets = buffer.extract_dup(0, buffer.get_size())
        say(sound=base64.b64encode(octets).decode())
        return Gst.FlowReturn.OK


def main() -> None:
    """One peer, until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["publish", "play"])
    parser.add_argument("--video", choices=list(ENCODERS))
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--audio", action="store_true")
    parser.add_argument("--hertz", type=int, default=400)
    parser.add_argument("--both-ways", action="store_true", help="leave the direction at sendrecv")
    wish = parser.parse_args()
    Gst.init(None)
    loop = GLib.MainLoop()
    peer = Peer(wish)

    def listen() -> None:
        for line in sys.stdin:
            GLib.idle_add(peer.answer, json.loads(line)["answer"])
        GLib.idle_add(loop.quit)

    threading.Thread(target=listen, daemon=True).start()
    peer.begin()
    loop.run()
    peer.end()


if __name__ == "__main__":
    main()

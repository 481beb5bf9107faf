"""The demonstration: a small portfolio, played in through the public APIs under the demo clock."""

from gov.demo.play import Played, play
from gov.demo.record import remember, remembered

__all__ = ["Played", "play", "remember", "remembered"]

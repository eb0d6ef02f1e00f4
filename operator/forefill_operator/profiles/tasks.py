"""What goes to the fit process and what comes back: two documents of msgpack."""

from array import array

import msgspec
from msgspec import Struct

from forefill_operator.profiles.history import Stretch
from forefill_operator.profiles.past import Fitted

# Shorter histories than this are neither fitted nor audited.
LEAST_WINDOWS = 120


class Task(Struct, frozen=True):
    """One workload: `rates` and `told` are 4-byte floats of this machine, `used` is the model of its policy."""

    rates: bytes
    told: bytes
    second_of_week: float
    interval: float
    used: str

    @classmethod
    def of(cls, stretch: Stretch, second_of_week: float, interval: float, used: str) -> "Task":
        return cls(stretch.rates.tobytes(), stretch.told.tobytes(), second_of_week, interval, used)

    def stretch(self) -> Stretch:
        rates, told = array("f"), array("f")
        rates.frombytes(self.rates)
        told.frombytes(self.told)
        return Stretch(rates, told)


encode = msgspec.msgpack.Encoder().encode
decode_tasks = msgspec.msgpack.Decoder(list[Task]).decode
decode_fits = msgspec.msgpack.Decoder(list[Fitted]).decode

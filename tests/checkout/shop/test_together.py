"""Several processes come to one new database at once, and one of them goes first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers
from checkout.shop.payments.payments import PaymentState
from checkout.shop.shop import Shop

_OPEN = """
import sys
from pathlib import Path
from checkout import create_app
from checkout.config import Config

sys.stdout.write("here\\n")
sys.stdout.flush()
sys.stdin.readline()
create_app(Config(home=Path(sys.argv[1])))
"""


def test_many_processes_make_the_tables_of_a_new_database_together(tmp_path: Path) -> None:
    for each in range(3):
        home = tmp_path / str(each)
        home.mkdir()
        started = [
            subprocess.Popen(
                [sys.executable, "-c", _OPEN, str(home)],
                env=os.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        told = [process.communicate(timeout=60)[1] for process in started]
        assert [process.returncode for process in started] == [0] * len(started), told


def test_a_sale_goes_on_when_the_command_whose_switch_it_joined_has_ended(tmp_path: Path) -> None:
    first = Shop.open(Config(home=tmp_path), payers=DemoPayers(), own_switch=True)
    second = Shop.open(Config(home=tmp_path), payers=DemoPayers(), own_switch=True)
    try:
        for shop in (first, second):
            order = shop.orders.create(amount_minor=100)
            shop.code_payments.pay(order.code, payer="unionpay-debit", pin=DEMO_PIN)
        first.close()
        order = second.orders.create(amount_minor=100)
        payment = second.code_payments.pay(order.code, payer="unionpay-debit", pin=DEMO_PIN)
        assert payment.state is PaymentState.APPROVED, payment.response_code
    finally:
        first.close()
        second.close()

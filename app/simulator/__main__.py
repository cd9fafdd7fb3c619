"""`python -m app.simulator`: the simulator with the demonstration account, on 127.0.0.1:8001."""

from app.simulator.simulator_command import run_simulator

run_simulator()

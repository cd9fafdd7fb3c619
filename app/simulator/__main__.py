"""Run the simulator with the demo account on 127.0.0.1:8001: `python -m app.simulator`."""

from app.simulator.simulator_command import run_simulator

run_simulator()

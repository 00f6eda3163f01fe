"""Many trainings and what they prove: plan, budget, tuning, worker processes, the folder of a study. Who trains is above."""

"""What is told of originals: the plan beside what stands, the evaluation report, the model card."""

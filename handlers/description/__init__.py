"""What the API description is made of: the table of operations, their forms, and how both are shown."""

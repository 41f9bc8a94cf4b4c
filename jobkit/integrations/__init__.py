"""jobkit in web frameworks. Each module needs the framework that it is named for, and nothing else here does."""

// Ends by itself right after the start, as an application without its settings does.
console.log("starting");
console.error("fatal: the setting DATABASE_URL is missing");
process.exit(1);

using Microsoft.ML.EarlyExit.Benchmarks;

return args switch
{
    ["decode", .. string[] names] => DecodingRun.Run(names),
    ["exits"] => ExitComparison.Run(),
    ["policies"] => PolicyComparison.Run(100),
    ["policies", string prompts] => PolicyComparison.Run(int.Parse(prompts, System.Globalization.CultureInfo.InvariantCulture)),
    ["confidences"] => ConfidenceCost.Run(),
    ["positions", string model, .. string[] others] => PositionsComparison.Run(model, others, busy: false),
    ["positions-busy", string model, .. string[] others] => PositionsComparison.Run(model, others, busy: true),
    ["positions-worker", string model] => PositionsComparison.Work(model, busy: false),
    ["positions-busy-worker", string model] => PositionsComparison.Work(model, busy: true),
    ["traces"] => TraceComparison.Run(),
    ["metrics"] => MetricThroughput.Run(),
    ["pipeline"] => PipelineOverhead.Run(),
    ["memory"] => PipelineMemory.Run(),
    ["row-memory", string model] => RowMemoryTable.Run(model),
    ["calibration"] => CalibrationTable.Run(400),
    ["calibration", string prompts] => CalibrationTable.Run(int.Parse(prompts, System.Globalization.CultureInfo.InvariantCulture)),
    ["evaluation"] => EvaluationThroughput.Run(),
    ["coverage"] => CoverageComparison.Run(),
    ["hostile", .. string[] arguments] => HostileCampaign.Run(arguments),
    ["hostile-worker", string seeds, string folder] => HostileWorker.Run(seeds, folder),
    ["make-random", string shape, string folder] => MakeRandom(shape, folder),
    _ => Usage(),
};

static int MakeRandom(string shape, string folder)
{
    RandomT5.Make(shape, folder);
    return 0;
}

static int Usage()
{
    Console.Error.WriteLine("""
        decode [demo] [large]       time and memory of one token, by depth and batch size; fails where a promise is broken
        exits                       the demo model with and without early exit: layers, equal outputs, tokens per second
        policies [PROMPTS]          every measure and pruning at several thresholds on PROMPTS prompts of each task, 100 by default
        confidences                 what confidences cost on the shape of T5-large when no token exits early
        positions MODEL [OTHER]     parallel decoding and self-speculation at batch 8 against full depth, on demo, wide, small, base or large; OTHER is another build of this program
                                    (its .dll), measured in turns with this one; positions-busy measures one thread by its time of a processor, for a machine that others use
        traces                      the traces of the paper's code, with its deviations and without; fails where one with them differs
        metrics                     pairs per second of each text metric; fails where a pair allocates
        pipeline                    what a row costs through ML.NET against the model itself; fails above 3 %
        evaluation                  pairs per second and memory of evaluating a million rows; fails above 300 MB
        calibration [PROMPTS]       thresholds certified on half of the demo's prompts and what they come to on the other, a hundred times, with PROMPTS descriptions, 400 by
                                    default, and all questions
        memory                      what a pipeline holds over 10,000 rows; fails where it grows
        row-memory demo|small|large  what a long row takes at its peak against its estimate, and the longest operator; fails where it is more
        coverage                    how often calibration and the monitor of drift err, on simulated losses; fails above what they promise
        hostile [COUNT] [SEED]      COUNT damaged files of every kind, 10,000 by default, given to the library in child processes (--workers N, --kind KIND; --only KIND:SEED
                                    repeats one and keeps it); fails where one ends in an undocumented exception, a crash, a hang or more than 1 GB
        make-random SHAPE FOLDER    a checkpoint with random weights; SHAPE is large, base or small
        """);
    return 2;
}

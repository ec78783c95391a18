using Microsoft.ML.EarlyExit.Benchmarks;

return args switch
{
    ["decode", .. string[] names] => DecodingRun.Run(names),
    ["exits"] => ExitComparison.Run(),
    ["make-random", string shape, string folder] => RandomT5.Make(shape, folder),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        decode [demo] [large]       time and memory of one token, by depth and batch size; fails where a promise is broken
        exits                       the demo model with and without early exit: layers, equal outputs, tokens per second
        make-random SHAPE FOLDER    a checkpoint with random weights; SHAPE is large, base or small
        """);
    return 2;
}

// What tests of ONNX Runtime's environment need a process of their own for, since a process has one: BUNDLE, then what to do in turn. Ends when standard input
// does.
//   host             uses ONNX Runtime before the library does
//   context          the same from another assembly load context
//   load[:threads]   loads the model
//   report[:threads] the same, with telemetry allowed
//   refused          runs a graph in which ONNX Runtime finds an error
//   gpu, fallback    loads the model on CUDA device 0
//   rows:N:EVERY:T   generates a token for T times N rows, N of them side by side: one in EVERY of 1,500 ids, none where EVERY is 0, the others of 3
using System.Globalization;
using System.Runtime.Loader;
using Google.Protobuf;
using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

string bundle = args[0];
foreach (string step in args.Skip(1))
{
    string[] parts = step.Split(':');
    int? threads = parts.Length > 1 ? int.Parse(parts[1], CultureInfo.InvariantCulture) : null;
    switch (parts[0])
    {
        case "host":
            OrtEnv.Instance();
            break;
        case "context":
            var context = new AssemblyLoadContext("another");
            context.LoadFromAssemblyPath(typeof(OrtEnv).Assembly.Location).GetType(typeof(OrtEnv).FullName!)!
                .GetMethod(nameof(OrtEnv.Instance))!.Invoke(null, null);
            Console.WriteLine($"created {OrtEnv.IsCreated}");
            break;
        case "refused":
            Refuse();
            break;
        case "rows":
            GenerateRows(threads!.Value, int.Parse(parts[2], CultureInfo.InvariantCulture), int.Parse(parts[3], CultureInfo.InvariantCulture));
            break;
        default:
            Load(parts[0], threads);
            break;
    }
}

Console.WriteLine("done");
Console.In.ReadToEnd();

void Refuse()
{
    int threads = OnnxEnvironment.Open(new EarlyExitModelOptions(), warning => Console.WriteLine($"warning {warning}"));
    using SessionOptions options = OnnxEnvironment.CreateSessionOptions(threads);
    var graph = new GraphProto { Name = "refused" };
    graph.Input.Add(Value("x", new TensorShapeProto.Types.Dimension { DimParam = "n" }));
    graph.Output.Add(Value("y", new TensorShapeProto.Types.Dimension { DimValue = 7 }));
    graph.Initializer.Add(new TensorProto { Name = "shape", DataType = (int)TensorProto.Types.DataType.Int64, Dims = { 1 }, Int64Data = { 7 } });
    graph.Node.Add(new NodeProto { Name = "\u001b[31mof the file's choosing", OpType = "Reshape", Input = { "x", "shape" }, Output = { "y" } });
    var model = new ModelProto { IrVersion = 10, Graph = graph, OpsetImport = { new OperatorSetIdProto { Domain = "", Version = 21 } } };
    using var session = new InferenceSession(model.ToByteArray(), options);
    using OrtValue one = OrtValue.CreateTensorValueFromMemory(new long[1], [1]);
    using var run = new RunOptions();
    try
    {
        session.Run(run, ["x"], [one], ["y"]).Dispose();
    }
    catch (OnnxRuntimeException exception)
    {
        Console.WriteLine($"refused {exception.Message}");
    }
}

static ValueInfoProto Value(string name, TensorShapeProto.Types.Dimension length) => new()
{
    Name = name,
    Type = new TypeProto
    {
        TensorType = new TypeProto.Types.Tensor { ElemType = (int)TensorProto.Types.DataType.Int64, Shape = new TensorShapeProto { Dim = { length } } },
    },
};

void GenerateRows(int count, int every, int times)
{
    using EarlyExitModel model = EarlyExitModel.Load(bundle, new EarlyExitModelOptions { ThreadCount = 1 });
    GenerationInput[] inputs = [.. Enumerable.Range(1, times * count).Select(row =>
        GenerationInput.FromTokenIds([.. Enumerable.Range(0, every > 0 && row % every == 0 ? 1500 : 3).Select(index => 2 + (index % 200))]))];
    var generation = new TextGenerationOptions { MaxInputTokens = 1500, MaxNewTokens = 1, BatchSize = count };
    if (model.Generate(inputs, generation).Any(row => row.StopReason == StopReason.Error))
        throw new InvalidOperationException("A row has failed.");
    string peak = File.ReadLines("/proc/self/status").Single(line => line.StartsWith("VmHWM", StringComparison.Ordinal));
    Console.WriteLine($"peak {long.Parse(peak.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024}");
}

void Load(string step, int? threads)
{
    var options = new EarlyExitModelOptions
    {
        ThreadCount = threads,
        AllowTelemetry = step == "report",
        GpuDeviceId = step is "gpu" or "fallback" ? 0 : null,
        FallbackToCpu = step == "fallback",
    };
    EarlyExitModel model;
    try
    {
        model = EarlyExitModel.Load(bundle, options);
    }
    catch (InvalidOperationException exception)
    {
        Console.WriteLine($"refused {exception.Message}");
        return;
    }

    foreach (string warning in model.Warnings)
        Console.WriteLine($"warning {warning}");
    var generation = new TextGenerationOptions { MaxNewTokens = 8, Exit = new ExitPolicy { MinimumLayer = 1, Threshold = 0.5f } };
    GenerationResult row = model.Generate([GenerationInput.FromTokenIds([5, 6, 7, 1])], generation)[0];
    Console.WriteLine($"ids {string.Join(' ', row.TokenIds)}");
    if (OperatingSystem.IsLinux())
        Console.WriteLine($"threads {Directory.GetDirectories("/proc/self/task").Length}");
}

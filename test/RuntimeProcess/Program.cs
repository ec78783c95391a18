// What tests of ONNX Runtime's environment need a process of their own for, since a process has one: BUNDLE, then what to do in turn. Ends when standard input does.
//   host             uses ONNX Runtime before the library does
//   context          the same from another assembly load context
//   load[:threads]   loads the model
//   report[:threads] the same, with telemetry allowed
//   gpu, fallback    loads the model on CUDA device 0
using System.Globalization;
using System.Runtime.Loader;
using Microsoft.ML.EarlyExit;
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
            context.LoadFromAssemblyPath(typeof(OrtEnv).Assembly.Location).GetType(typeof(OrtEnv).FullName!)!.GetMethod(nameof(OrtEnv.Instance))!.Invoke(null, null);
            Console.WriteLine($"created {OrtEnv.IsCreated}");
            break;
        default:
            var options = new EarlyExitModelOptions
            {
                ThreadCount = threads,
                AllowTelemetry = parts[0] == "report",
                GpuDeviceId = parts[0] is "gpu" or "fallback" ? 0 : null,
                FallbackToCpu = parts[0] == "fallback",
            };
            Load(options);
            break;
    }
}

Console.WriteLine("done");
Console.In.ReadToEnd();

void Load(EarlyExitModelOptions options)
{
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

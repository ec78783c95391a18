using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The process's one ONNX Runtime environment. Many small sessions are fast only on one thread pool, which has to be asked for before anything else in the
/// process uses the runtime; where something else was first, each session gets a pool that stops spinning when its run ends.
/// </summary>
internal static class OnnxEnvironment
{
    private static readonly Lock s_lock = new();
    private static int? s_globalThreadCount;

    /// <summary>Creates the environment if the process has none, and returns options for a session of <paramref name="threadCount"/> threads.</summary>
    /// <exception cref="InvalidOperationException">The native library is missing; the message names the package to add.</exception>
    public static SessionOptions CreateSessionOptions(int threadCount)
    {
        lock (s_lock)
        {
            try
            {
                if (!OrtEnv.IsCreated)
                {
                    using var threading = new OrtThreadingOptions { GlobalIntraOpNumThreads = threadCount, GlobalInterOpNumThreads = 1, GlobalSpinControl = true };
                    var creation = new EnvironmentCreationOptions
                    {
                        logId = "Microsoft.ML.EarlyExit",
                        logLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
                        threadOptions = threading,
                    };
                    OrtEnv.CreateInstanceWithOptions(ref creation);
                    s_globalThreadCount = threadCount;
                }

                var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
                if (s_globalThreadCount == threadCount)
                {
                    options.DisablePerSessionThreads();
                }
                else
                {
                    options.IntraOpNumThreads = threadCount;
                    options.AddSessionConfigEntry("session.force_spinning_stop", "1");
                }

                return options;
            }
            catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException or TypeInitializationException)
            {
                // Without the cause inside: where ML.NET wraps this, users are shown the innermost message.
                string cause = exception.GetBaseException().Message.Split('\n')[0].Trim();
                throw new InvalidOperationException(
                    "ONNX Runtime's native library could not be loaded. Add the package Microsoft.ML.OnnxRuntime (CPU) or Microsoft.ML.OnnxRuntime.Gpu (CUDA) "
                    + $"to the application. ({cause})");
            }
        }
    }
}

using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// The process's one ONNX Runtime environment. Many small sessions are fast only on one thread pool, which has to be requested before anything else in the
/// process uses the runtime; where something else was first, each session gets a pool that stops spinning when its run ends.
/// </summary>
internal static partial class OnnxEnvironment
{
    private const string TelemetryVariable = "ORT_DISABLE_TELEMETRY";

    /// <summary>Threads of a session that has threads of its own, at most: there are as many such pools as sessions, and one step runs in one of
    /// them.</summary>
    private const int MostSessionThreads = 8;

    private static readonly Lock s_lock = new();
    private static bool s_isOpen;
    private static bool s_isOwn;
    private static bool s_hasPool;
    private static int? s_poolThreads;

    /// <summary>Creates the environment if the process has none, without telemetry unless the options allow it.</summary>
    /// <param name="options">What the model requests.</param>
    /// <param name="warn">Takes what is not as the model requests.</param>
    /// <returns>How many threads a step of the model has.</returns>
    /// <exception cref="InvalidOperationException">The native library is missing; the message names the package to add.</exception>
    public static int Open(EarlyExitModelOptions options, Action<string> warn)
    {
        int threadCount = options.ThreadCount ?? Environment.ProcessorCount;
        lock (s_lock)
        {
            try
            {
                if (!s_isOpen)
                    Create(threadCount, options.AllowTelemetry);
            }
            catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException or TypeInitializationException)
            {
                // Without the cause inside: where ML.NET wraps this, users are shown the innermost message.
                string cause = exception.GetBaseException().Message.Split('\n')[0].Trim();
                throw new InvalidOperationException(
                    "ONNX Runtime's native library could not be loaded. Add the package Microsoft.ML.OnnxRuntime (CPU) or Microsoft.ML.OnnxRuntime.Gpu (CUDA) "
                    + $"to the application. ({cause})");
            }

            if (!s_isOwn && !options.AllowTelemetry && Environment.GetEnvironmentVariable(TelemetryVariable) is null)
            {
                warn(
                    "ONNX Runtime was in use in this process before the first model was loaded, so its telemetry is as the application set it: "
                    + $"it may be on. Load a model first, or start the process with {TelemetryVariable}=1.");
            }

            if (!s_hasPool)
            {
                int own = Math.Min(threadCount, Math.Min(MostSessionThreads, Environment.ProcessorCount));
                warn(
                    $"ONNX Runtime was in use in this process before the first model was loaded, and has no shared threads: each session gets {own} "
                    + "of its own. Load a model first for one pool of ThreadCount threads.");
                return own;
            }

            if (s_poolThreads is not { } shared)
            {
                if (options.ThreadCount is not null)
                    warn($"ThreadCount {threadCount} has no effect: the thread pool of ONNX Runtime was made by another part of this process.");
                return threadCount;
            }

            if (shared != threadCount)
                warn($"The model uses {shared} threads, not {threadCount}: the process has one pool, of the ThreadCount that its first model requested.");
            return shared;
        }
    }

    /// <summary>Options for a session of a model that <see cref="Open"/> gave <paramref name="threadCount"/> threads.</summary>
    public static SessionOptions CreateSessionOptions(int threadCount)
    {
        // What goes wrong is in the exception. The runtime would write it to the process's standard error besides, in colour, with names that the model's file
        // chose.
        var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        if (s_hasPool)
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

    private static void Create(int threadCount, bool allowTelemetry)
    {
        bool isFirst = !OrtEnv.IsCreated;
        if (isFirst)
        {
            // Before the environment, whose creation reports already. A value that somebody set stands.
            bool decides = !allowTelemetry && Environment.GetEnvironmentVariable(TelemetryVariable) is null;
            if (!allowTelemetry)
                SetForNativeCode(TelemetryVariable, Environment.GetEnvironmentVariable(TelemetryVariable) ?? "1");
            using var threading = new OrtThreadingOptions { GlobalIntraOpNumThreads = threadCount, GlobalInterOpNumThreads = 1, GlobalSpinControl = true };
            var creation = new EnvironmentCreationOptions
            {
                logId = "Microsoft.ML.EarlyExit",
                logLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
                threadOptions = threading,
            };
            OrtEnv environment = OrtEnv.CreateInstanceWithOptions(ref creation);
            if (decides)
                environment.DisableTelemetryEvents();
        }

        // Only trying tells: another copy of the managed package, in an assembly load context of its own, may have made the native environment unseen by
        // this one.
        s_hasPool = HasPool();
        s_isOwn = isFirst && s_hasPool;
        s_poolThreads = s_isOwn ? threadCount : null;
        s_isOpen = true;
    }

    private static bool HasPool()
    {
        using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        options.DisablePerSessionThreads();
        try
        {
            new OnnxThreadPool(options).Dispose();
            return true;
        }
        catch (OnnxRuntimeException)
        {
            return false;
        }
    }

    /// <summary>Sets a variable where native code sees it, unless it has a value there.</summary>
    private static void SetForNativeCode(string name, string value)
    {
        if (OperatingSystem.IsWindows())
            Environment.SetEnvironmentVariable(name, value);
        else
            _ = SetEnvironmentVariable(name, value, overwrite: 0);
    }

    // .NET keeps a copy of the environment on Unix, and its own setter changes only that.
    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironmentVariable(string name, string value, int overwrite);
}

using System.Diagnostics;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.ModelSharing;

/// <summary>Where a component's model comes from: a bundle's folder, or a model that stays its caller's.</summary>
internal sealed class ModelSource
{
    private readonly string? _path;
    private readonly EarlyExitModel? _model;
    private readonly EarlyExitModelOptions? _options;

    /// <param name="modelPath">The bundle's folder; null where there is <paramref name="model"/>.</param>
    /// <param name="model">The loaded model; null where there is <paramref name="modelPath"/>.</param>
    /// <param name="modelOptions">How the bundle is loaded; null for the defaults, and for a loaded model.</param>
    /// <exception cref="ArgumentException">There is no model or two, the path is empty, or there are options for a model that is loaded already.</exception>
    internal ModelSource(string? modelPath, EarlyExitModel? model, EarlyExitModelOptions? modelOptions)
    {
        if ((modelPath is null) == (model is null))
            throw new ArgumentException("Give either ModelPath, a model bundle's folder, or Model, a loaded one.", "options");
        if (modelPath is not null)
            ArgumentException.ThrowIfNullOrWhiteSpace(modelPath);
        if (model is not null && modelOptions is not null)
        {
            throw new ArgumentException(
                "ModelOptions say how ModelPath is loaded; Model is loaded already. Leave them out, or load the model with them.", "options");
        }

        _path = modelPath;
        _model = model;
        _options = modelOptions;
    }

    /// <summary>What stands for the bundle in a model saved by reference: the path as it was given, of a loaded model the full one.</summary>
    internal string Reference => _path ?? _model!.Bundle.Folder;

    /// <summary>A hold on the model.</summary>
    /// <exception cref="DirectoryNotFoundException">There is no folder at the path.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged.</exception>
    internal ModelLease Lease(IHostEnvironment environment) => _model is not null ? ModelLease.OfCaller(_model) : Load(environment, _path!, _options);

    /// <summary>Loads a bundle, or shares it with whoever has loaded it.</summary>
    /// <param name="environment">Takes messages, and says the device where the options name none.</param>
    /// <param name="bundlePath">The bundle's folder.</param>
    /// <param name="options">How to load; null for the defaults.</param>
    /// <param name="folder">A folder to delete with the model, the lease's also where this fails; null for none.</param>
    /// <param name="identity">The identity that the bundle must have; null for any.</param>
    internal static ModelLease Load(
        IHostEnvironment environment, string bundlePath, EarlyExitModelOptions? options = null, TemporaryFolder? folder = null, string? identity = null)
    {
        long start = Stopwatch.GetTimestamp();
        ModelLease lease = ModelLease.Load(bundlePath, Complete(options, environment), folder, identity);
        T5Configuration sizes = lease.Model.Configuration;
        using IChannel channel = environment.Start("Loading the model");
        channel.Info(
            MessageSensitivity.None,
            $"{(lease.WasLoaded ? "Shares the loaded" : "Loaded the")} model bundle '{lease.Model.Bundle.Folder}': "
            + $"{sizes.EncoderLayerCount} encoder and {sizes.DecoderLayerCount} decoder layers of width {sizes.ModelDimension}, {sizes.VocabularySize} tokens, "
            + $"in {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms.");
        if (!lease.WasLoaded)
        {
            foreach (string warning in lease.Model.Warnings)
                channel.Warning(MessageSensitivity.None, warning);
        }

        return lease;
    }

    /// <summary>A hold on a model that is loaded already; null where it is not.</summary>
    internal static ModelLease? TryShareLoaded(IHostEnvironment environment, string identity) =>
        ModelLease.TryShareLoaded(identity, Complete(null, environment));

    /// <summary>Options with the devices of the environment, where they name none.</summary>
    private static EarlyExitModelOptions Complete(EarlyExitModelOptions? options, IHostEnvironment environment)
    {
        options ??= new EarlyExitModelOptions();
        return options.GpuDeviceId is null && MLNetInterop.GetDevice(environment) is (int device, var fallbackToCpu)
            ? options with { GpuDeviceId = device, FallbackToCpu = fallbackToCpu }
            : options;
    }
}

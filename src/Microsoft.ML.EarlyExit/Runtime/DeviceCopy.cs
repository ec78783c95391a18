using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>A tensor of the host as sessions on a device read it: copied there when it is next asked for after a change.</summary>
internal sealed class DeviceCopy : IDisposable
{
    private readonly DeviceMemory _memory;
    private readonly OrtValue _host;
    private readonly DeviceTensor _copy;
    private bool _isStale = true;

    /// <param name="memory">The device's memory.</param>
    /// <param name="host">The host's tensor, which lives as long as this.</param>
    public DeviceCopy(DeviceMemory memory, OrtValue host)
    {
        _memory = memory;
        _host = host;
        OrtTensorTypeAndShapeInfo info = host.GetTensorTypeAndShape();
        _copy = memory.Allocate(info.ElementDataType, info.Shape);
    }

    /// <summary>Always the same value, whose content is the host's when this is read.</summary>
    public OrtValue Value
    {
        get
        {
            if (_isStale)
                _memory.Copy(_host, _copy.Value);
            _isStale = false;
            return _copy.Value;
        }
    }

    /// <summary>Says that the host's tensor has changed.</summary>
    public void Invalidate() => _isStale = true;

    public void Dispose() => _copy.Dispose();
}
